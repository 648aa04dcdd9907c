"""Accounts, people, faults and the clock."""

import base64
import binascii
from dataclasses import asdict
from typing import Any

from simulator import faults, faultwords, ids
from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError
from simulator.platform import keys
from simulator.state import Account, Contact, User, World

calls = Calls()

PLATFORMS = ("1", "2", "3")
MODES = ("plain", "compatible", "safe")
_SETTINGS = {
    "secret": str,
    "token": str,
    "aes_key": str,
    "gh_id": str,
    "name": str,
    "mode": str,
    "callback_url": str,
    "unionid": bool,
    "mass_protected": bool,
    "allowed_ips": list,
    "templates": list,
    "subscription_templates": list,
    "web_domains": list,
    "web_cookie": str,
    "web_cookie_path": str,
}


@calls.add("POST", "/_sim/accounts")
def put_account(call: ControlCall) -> Any:
    """Make or change an official account: app_id, secret, token, aes_key, gh_id, name, callback_url,
    mode (plain, compatible, safe); optional: unionid (true: bound to an open-platform account), mass_protected (a
    mass message to all waits for an administrator),
    allowed_ips, web_domains, templates and subscription_templates
    [{template_id, title, content}], web_cookie and web_cookie_path (by which
    its pages remember a visitor: dropped when another phone opens one)."""
    app_id = call.text("app_id")
    settings = {name: call.fields[name] for name in _SETTINGS if name in call.fields}
    for name, value in settings.items():
        if not isinstance(value, _SETTINGS[name]):
            raise ControlError(f"{name} must be of type {_SETTINGS[name].__name__}")
    with call.world.lock:
        account = call.world.state.accounts.get(app_id) or Account(app_id, secret="")
        _check(account, settings)
        for name, value in settings.items():
            setattr(account, name, value)
        account.gh_id = account.gh_id or "gh_" + ids.random_text(12).lower()
        account.name = account.name or app_id
        call.world.state.accounts[app_id] = account
    return _account_json(account)


@calls.add("GET", "/_sim/accounts")
def get_accounts(call: ControlCall) -> Any:
    """All accounts, without their secrets."""
    return {"accounts": [_account_json(each) for each in call.world.accounts]}


@calls.add("POST", "/_sim/verify")
def verify(call: ControlCall) -> Any:
    """What the console does when a callback address is saved: GET with an echostr. Body: account."""
    return call.room.postman.verify(call.account())


@calls.add("POST", "/_sim/users")
def put_user(call: ControlCall) -> Any:
    """A new person with a phone: name, optional openid (for the only account) or openids {app_id: openid},
    platform (client_platform_type: 1 iOS, 2 Android, 3 others)."""
    name = call.text("name")
    openids = dict(call.fields.get("openids") or {})
    if "openid" in call.fields:
        openids[call.account().app_id] = call.text("openid")
    platform = call.text("platform", "2")
    if platform not in PLATFORMS:
        raise ControlError(f"platform must be one of {', '.join(PLATFORMS)}")
    with call.world.lock:
        user = User(f"u{call.world.next_id()}", name, ids.unionid(), platform=platform)
        for app_id, openid in openids.items():
            _introduce(call.world, user, app_id, openid)
        call.world.add_user(user)
        for account in call.world.accounts:
            call.world.contact_of(account, user)
    return user_json(call.world, user), 201


@calls.add("GET", "/_sim/users")
def get_users(call: ControlCall) -> Any:
    """All people, with their openids and the accounts that they follow."""
    with call.world.lock:
        people = list(call.world.state.users.values())
    return {"users": [user_json(call.world, each) for each in people]}


@calls.add("POST", "/_sim/crowd")
def put_crowd(call: ControlCall) -> Any:
    """Many people at once who follow already, without a push: account, count. Answers their openids."""
    account, count = call.account(), call.number("count")
    openids = []
    with call.world.lock:
        for _ in range(count):
            number = call.world.next_id()
            user = User(f"u{number}", f"路人{number}", ids.unionid())
            call.world.add_user(user)
            contact = call.world.contact_of(account, user)
            contact.subscribed, contact.subscribe_time = True, int(call.world.now())
            openids.append(contact.openid)
    return {"openids": openids}, 201


@calls.add("GET", "/_sim/faults")
def get_faults(call: ControlCall) -> Any:
    """What goes wrong at present."""
    return asdict(call.world.faults)


@calls.add("GET", "/_sim/faults/list")
def list_faults(call: ControlCall) -> Any:
    """Every fault there is: name, group, label (Chinese), kind (rate, number, switch, text, choice, json), default,
    choices."""
    return {"faults": faultwords.listing()}


@calls.add("POST", "/_sim/faults")
def put_faults(call: ControlCall) -> Any:
    """Change what goes wrong; see GET for the names. {"rotate_token": true} makes all access tokens invalid
    now, {"off": true} switches everything off first, {"times": {"busy_rate": 1}} lets a rate strike once only."""
    wishes = dict(call.fields)
    rotate, off = wishes.pop("rotate_token", False), wishes.pop("off", False)
    present = faults.Faults() if off else call.world.faults
    call.world.faults = faults.changed(present, wishes)
    if rotate:
        keys.rotate_all(call.world)
    return asdict(call.world.faults)


@calls.add("GET", "/_sim/clock")
def get_clock(call: ControlCall) -> Any:
    """The simulated time in seconds since the epoch, and how far it is ahead of the machine's."""
    return {"now": call.world.now(), "offset_seconds": call.world.clock.offset}


@calls.add("POST", "/_sim/clock")
def put_clock(call: ControlCall) -> Any:
    """Move the time: advance_seconds from now, or offset_seconds from the machine's time."""
    clock = call.world.clock
    if "advance_seconds" in call.fields:
        clock.move_to(clock.offset + call.number("advance_seconds"))
    else:
        clock.move_to(call.number("offset_seconds"))
    return get_clock(call)


@calls.add("POST", "/_sim/reset")
def reset(call: ControlCall) -> Any:
    """Forget accounts, people, chats, journals and faults. The clock stays."""
    call.world.reset()
    return {"ok": True}


def user_json(world: World, user: User) -> dict[str, Any]:
    """A person as the control API shows them."""
    accounts = world.state.accounts
    follows = [
        app_id
        for app_id, openid in user.openids.items()
        if app_id in accounts and accounts[app_id].contacts[openid].subscribed
    ]
    return asdict(user) | {"follows": follows}


def _account_json(account: Account) -> dict[str, Any]:
    shown = {
        name: getattr(account, name) for name in _SETTINGS if name not in ("secret", "aes_key")
    }
    followers = sum(1 for each in account.contacts.values() if each.subscribed)
    return {"app_id": account.app_id, "followers": followers} | shown


def _introduce(world: World, user: User, app_id: str, openid: str) -> None:
    account = world.get_account(app_id)
    if openid in account.contacts:
        raise ControlError(f"openid {openid} is taken", 409)
    account.contacts[openid] = Contact(openid, user.id)
    user.openids[account.app_id] = openid


def _check(account: Account, settings: dict[str, Any]) -> None:
    """What the platform's console would refuse."""
    mode = settings.get("mode", account.mode)
    if mode not in MODES:
        raise ControlError(f"mode must be one of {', '.join(MODES)}")
    if mode != "plain" and not _is_aes_key(settings.get("aes_key", account.aes_key)):
        raise ControlError("aes_key must be 43 characters of base64")
    for template in [
        *settings.get("templates", []),
        *settings.get("subscription_templates", []),
    ]:
        if not isinstance(template, dict) or not template.get("template_id"):
            raise ControlError("each template needs a template_id")


def _is_aes_key(key: str) -> bool:
    try:
        return len(key) == 43 and len(base64.b64decode(key + "=")) == 32
    except binascii.Error:
        return False
