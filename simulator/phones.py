"""The page of phones at `/`: every user of the simulator as a WeChat phone in the browser."""

import secrets
from dataclasses import asdict
from itertools import islice
from typing import Any

from flask import Blueprint, Response, make_response, render_template

from simulator import guide, menus
from simulator.control.gate import Calls, ControlCall
from simulator.state import Account, Contact, Order, User, World

bp = Blueprint(
    "phones",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/_sim/static",
)
calls = Calls()

# The page shows text that strangers wrote (names, messages, replies of a server under test): should
# one ever reach the markup, the browser still runs nothing. Pictures and the pages that a phone
# opens come from the server under test, whose address we cannot know beforehand.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' http: https: data:",
        "frame-src http: https:",
        "media-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
MOST_PHONES = 24  # a crowd of /_sim/crowd does not fit on a desk
MOST_ORDERS = 200  # the newest
LOG_ROWS = 200
# Journals get their numbers a moment before they are appended, so a poll may see 8 before 7:
# what is younger than this comes again, and the page knows what it has already.
OVERLAP_SECONDS = 2.0
_RUN = secrets.token_hex(4)  # journals do not survive a restart: the page must start over


@bp.get("/")
def show_phones() -> Response:
    """Serve the page; everything on it comes from the control API afterwards."""
    response = make_response(render_template("phones.html"))
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response


@calls.add("GET", "/_sim/guide")
def get_guide(call: ControlCall) -> Any:
    """The newcomer's guide on the page: steps [{text, user, does, what, done}]."""
    return {"steps": _guide_steps(call.world)}


@calls.add("POST", "/_sim/guide")
def put_guide(call: ControlCall) -> Any:
    """Set the guide: steps [{text, user, does, what}]. A step ticks itself off when that user does
    it from now on: follow, scan, click (what: the key), buy (what: the sku), say, receive, or, to
    receive one kind of message, image, news, template (what: a part of it)."""
    fresh = guide.read_guide(call.world, call.fields)
    with call.world.lock:
        call.world.state.guide = fresh
    return get_guide(call)


@calls.add("GET", "/_sim/state")
def get_state(call: ControlCall) -> Any:
    """Everything the page of phones shows, in one answer: account, after (the cursor of the last
    answer), open (ids of pushes that were still on their way, with commas)."""
    world, after = call.world, call.number("after", 0)
    if after > world.state.last_id:
        after = 0  # everything was reset since
    with world.lock:
        account = _chosen_account(world, call.text("account", ""))
        people = list(islice(world.state.users.values(), MOST_PHONES))
        orders = list(islice(reversed(world.state.orders.values()), MOST_ORDERS))
        contacts = {user.id: _find_contact(account, user) for user in people}
        answer = {
            "epoch": f"{_RUN}-{id(world.state)}",
            "cursor": world.state.last_id,
            "account": _account_json(account) if account else None,
            "accounts": [_account_json(each) for each in world.state.accounts.values()],
            "users": [
                _person_json(world, user, contacts[user.id])
                | {"menu": menus.seen_by(account, user, contacts[user.id]) if account else None}
                for user in people
            ],
            "messages": [
                message | {"user": user_id}
                for user_id, contact in contacts.items()
                for message in (contact.messages if contact else [])
                if message["id"] > after
            ],
            "orders": [_order_json(each) for each in orders],
        }
    return answer | {
        "shops": call.room.shops.all(),
        "clock": {"now": world.now(), "offset_seconds": world.clock.offset},
        "faults": asdict(world.faults),
        "guide": {"steps": _guide_steps(world)},
        "pushes": _pushes(world, account, after, _numbers(call.text("open", ""))),
        "calls": _api_calls(world, account, after),
        "reports": _reports(world, account, after),
    }


def _chosen_account(world: World, wanted: str) -> Account | None:
    """The account the page asked for, else the first one; None while there is none."""
    accounts = world.state.accounts
    return accounts.get(wanted) or next(iter(accounts.values()), None)


def _find_contact(account: Account | None, user: User) -> Contact | None:
    return account.contacts.get(user.openids.get(account.app_id, "")) if account else None


def _account_json(account: Account) -> dict[str, Any]:
    return {"app_id": account.app_id, "name": account.name, "gh_id": account.gh_id}


def _person_json(world: World, user: User, contact: Contact | None) -> dict[str, Any]:
    messages = contact.messages if contact else []
    return {
        "id": user.id,
        "name": user.name,
        "openid": contact.openid if contact else None,
        "following": contact is not None and contact.subscribed,
        "typing": contact is not None and contact.typing_until > world.now(),
        "first_message": messages[0]["id"] if messages else None,
    }


def _order_json(order: Order) -> dict[str, Any]:
    paid_fen = sum(line["paid_fen"] for line in order.lines)
    refunded_fen = sum(line["refund_fen"] for each in order.refunds for line in each["lines"])
    status = "completed" if order.completed_at else "paid"
    return {
        "order_no": order.order_no,
        "user": order.user_id,
        "title": "、".join(line["title"] for line in order.lines),
        "amount_fen": paid_fen,
        "status": "refunded" if refunded_fen >= paid_fen else status,
    }


def _guide_steps(world: World) -> list[dict[str, Any]]:
    guide.tick(world)
    return [asdict(step) for step in world.state.guide.steps]


def _numbers(text: str) -> set[int]:
    return {int(each) for each in text.split(",") if each.isdecimal()}


def _pushes(
    world: World, account: Account | None, after: int, unfinished: set[int]
) -> list[dict[str, Any]]:
    """The account's pushes since, and those that the page saw on their way."""
    recent = world.now() - OVERLAP_SECONDS
    found = [
        push.as_json()
        for push in list(world.pushes)
        if push.account is account
        and (push.id > after or push.id in unfinished or push.at > recent)
    ]
    return found[-LOG_ROWS:]


def _api_calls(world: World, account: Account | None, after: int) -> list[dict[str, Any]]:
    """The calls since, of this account or of nobody we know."""
    recent = world.now() - OVERLAP_SECONDS
    mine = (None, account.app_id if account else None)
    found = [
        call
        for call in list(world.calls)
        if call.account in mine and (call.id > after or call.at + call.ms / 1000 > recent)
    ]
    return [call.as_json() for call in found[-LOG_ROWS:]]


def _reports(world: World, account: Account | None, after: int) -> list[dict[str, Any]]:
    """What the shop has told the account's merchant since."""
    recent = world.now() - OVERLAP_SECONDS
    found = [
        asdict(each)
        for each in list(world.reports)
        if account
        and each.account == account.app_id
        and (each.id > after or each.at + each.ms / 1000 > recent)
    ]
    return found[-LOG_ROWS:]
