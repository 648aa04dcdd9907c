"""提现: what it costs, asking once, where the money is, and confirming the transfer inside WeChat.

An amount is looked at before it is asked for: the first page takes it, the second shows fee, tax and what arrives, and
its form carries the token that makes a second tap the same request. What WeChat's own page of confirmation says is not
believed: only answers and notices that are signed for our server move money (jobs/payouts.py, web/pay.py).
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from flask import flash, jsonify, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from domain import members, payouts, progress, withdrawals
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Member, Withdrawal
from domain.money import parse_yuan, share
from domain.withdrawals import LimitReached, NotEnough
from web import pages
from web.current import context
from web.h5.arriving import Page, blueprint, here, limit, read, transact
from web.h5.earnings import before
from web.h5.guards import me, members_only

PAGE: Final = 20
ASKS_PER_MINUTE: Final = 10
NAMES_PER_MINUTE: Final = 5
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,60}")


# --- asking ---------------------------------------------------------------------------------------------------------


@blueprint.get("/withdraw")
@members_only
def withdraw() -> Page:
    """The form; with `?amount=` the second look at what it comes to."""
    wanted = request.args.get("amount", "").strip()
    if not wanted:
        return _form("")
    amount_fen = parse_yuan(wanted)
    if amount_fen is None:
        return _form(wanted, here().words("h5.withdraw.unclear")), 422
    problem = _problem(amount_fen)
    if problem is not None:
        return _form(wanted, problem), 422
    settings = here().account.settings
    fee_fen = share(amount_fen, settings.withdraw_fee_bps)
    tax_fen = share(amount_fen, settings.withdraw_tax_bps)
    return render_template(
        "h5/withdraw_confirm.html", amount_fen=amount_fen, fee_fen=fee_fen, tax_fen=tax_fen,
        net_fen=amount_fen - fee_fen - tax_fen, token=secrets.token_urlsafe(24),
        audited=withdrawals.is_audited(here().account, amount_fen), settings=settings,
    )  # fmt: skip


def _problem(amount_fen: int) -> str | None:
    """What would be refused for certain; the request itself decides, under its locks."""
    settings, words = here().account.settings, here().words
    available = _available()
    error: Invalid | NotEnough | None = None
    if not settings.withdraw_min_fen <= amount_fen <= settings.withdraw_max_fen:
        error = Invalid(
            "the amount is out of range", reason="range",
            min_fen=settings.withdraw_min_fen, max_fen=settings.withdraw_max_fen,
        )  # fmt: skip
    elif amount_fen > available:
        error = NotEnough("the available balance is smaller")
    return None if error is None else progress.refusal_text(words, error, available, amount_fen)


def _available() -> int:
    member_id = me().id
    return read(lambda session: withdrawals.available_of(session, member_id))


def _form(wanted: str, problem: str = "") -> str:
    available = _available()
    return render_template(
        "h5/withdraw.html", available_fen=available, wanted=wanted, problem=problem, member=me(),
        settings=here().account.settings, name_from_fen=withdrawals.NAME_NEEDED_FEN,
    )  # fmt: skip


@blueprint.post("/withdraw")
@members_only
def ask() -> Page:
    """Ask for the money, once for each token; the answer is the page of the withdrawal."""
    limit("withdraw", ASKS_PER_MINUTE)
    token, wanted = request.form.get("token", ""), request.form.get("amount", "")
    amount_fen = parse_yuan(wanted)
    if amount_fen is None or _TOKEN.fullmatch(token) is None:
        return _form(wanted, here().words("h5.withdraw.unclear")), 422
    account, member, now = here().account, me(), here().now

    def work(session: Session) -> Withdrawal:
        # Read again inside: what the member is now decides, not what they were when the page came.
        mine = session.get_one(Member, member.id)
        return withdrawals.request(
            session, account, mine, amount_fen, client_token=f"h5-{token}", now=now
        )

    try:
        row = transact(work)
    except (Invalid, LimitReached, NotEnough) as error:
        said = progress.refusal_text(here().words, error, _available(), amount_fen)
        return _form(wanted, said), 422
    except Conflict:  # the same form with another amount: from the history, or made by hand
        return pages.error_page(409, here().words("h5.withdraw.used"))
    return redirect(url_for("h5.withdrawal", number=row.id))


# --- where it is ----------------------------------------------------------------------------------------------------


@blueprint.get("/withdrawals")
@members_only
def progress_list() -> Page:
    """提现进度: every request with its state, newest first."""
    member, first = me(), before()
    rows = read(
        lambda session: withdrawals.of_member(session, member.id, PAGE + 1, before_id=first)
    )
    more = rows[PAGE - 1].id if len(rows) > PAGE else None
    return render_template(
        "h5/withdrawals.html", rows=rows[:PAGE], more=more, state_text=progress.state_text,
        is_waiting=progress.is_waiting,
    )  # fmt: skip


@blueprint.get("/withdrawals/<int:number>")
@members_only
def withdrawal(number: int) -> Page:
    """One request: its steps, and the button that confirms the transfer."""
    row = _mine(number)
    waiting = progress.is_waiting(row, here().now) and row.package_info is not None
    mch_id = ""
    if waiting:
        mch_id = read(lambda session: payouts.payout_of(session, row).terms.mch_id)
    return render_template(
        "h5/withdrawal.html", row=row, waiting=waiting, mch_id=mch_id, net_fen=withdrawals.net_fen(row),
        said=progress.state_text(here().words, row, here().now),
    )  # fmt: skip


@blueprint.get("/withdrawals/<int:number>/state")
@members_only
def withdrawal_state(number: int) -> Page:
    """For the page that waits: the state by our books."""
    row = _mine(number)
    return jsonify(
        status=row.status,
        waiting=progress.is_waiting(row, here().now),
        text=progress.state_text(here().words, row, here().now),
    )


@blueprint.post("/withdrawals/<int:number>/ask")
@members_only
def ask_about(number: int) -> Page:
    """WeChat's page was shown: have WeChat Pay asked soon. Believes nothing and changes no money."""
    limit("ask", ASKS_PER_MINUTE)
    row, now = _mine(number), here().now
    transact(lambda session: payouts.ask_later(session, row.id, now))
    if request.accept_mimetypes.best == "application/json":
        return jsonify(asked=True)
    return redirect(url_for("h5.withdrawal", number=number))


def _mine(number: int) -> Withdrawal:
    """The member's own withdrawal; anybody else's is not there."""
    account, member = here().account, me()
    row = read(lambda session: withdrawals.get(session, account.id, number))
    if row.member_id != member.id:
        raise NotFound("no such withdrawal", withdrawal=number)
    return row


# --- the name for large amounts -------------------------------------------------------------------------------------


@blueprint.get("/real-name")
@members_only
def real_name() -> Page:
    """实名: the name that WeChat Pay compares for large transfers. Never shown again."""
    return _name_form("")


def _name_form(problem: str) -> str:
    return render_template(
        "h5/real_name.html", problem=problem, known=me().real_name is not None,
        name_from_fen=withdrawals.NAME_NEEDED_FEN,
    )  # fmt: skip


@blueprint.post("/real-name")
@members_only
def set_real_name() -> Page:
    """Keep it, encrypted."""
    limit("name", NAMES_PER_MINUTE)
    try:
        name = progress.real_name(request.form.get("name", ""))
    except Invalid:
        return _name_form(here().words("h5.name.unclear")), 422
    member, keyring = me(), context().keyring
    transact(lambda session: members.set_contact(session, keyring, member.id, real_name=name))
    flash(here().words("real_name.done"))
    return redirect(url_for("h5.withdraw"))
