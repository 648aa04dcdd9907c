"""What a member decides for themselves: name, notices, personal data, and 申诉."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Final

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from domain import disputes, erasure, members, privacy, subscriptions
from domain.erasure import StillPaying
from domain.errors import Invalid
from domain.models import Dispute, DisputeNote
from web.current import context
from web.h5.arriving import Page, blueprint, cookie_name, here, limit, read, transact
from web.h5.guards import me, members_only
from web.h5.login import start
from wechat import oauth

CHANGES_PER_MINUTE: Final = 10
EXPORTS_PER_MINUTE: Final = 3
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,48}")


@blueprint.get("/more")
@members_only
def more() -> Page:
    """更多: everything that is not on the bar."""
    return render_template("h5/more.html", member=me())


# --- name -----------------------------------------------------------------------------------------------------------


@blueprint.get("/profile")
@members_only
def profile() -> Page:
    """昵称: what friends see."""
    return render_template("h5/profile.html", member=me(), problem="")


@blueprint.get("/profile/wechat")
@members_only
def ask_nickname() -> Page:
    """Take the nickname over from WeChat, on its own page of consent."""
    return start(url_for("h5.profile"), oauth.USERINFO)


@blueprint.post("/profile")
@members_only
def set_profile() -> Page:
    """Keep the name."""
    limit("profile", CHANGES_PER_MINUTE)
    account, member, words = here().account, me(), here().words
    wanted = request.form.get("nickname", "")[:200]
    try:
        name = transact(
            lambda session: members.set_nickname(session, account.id, member.openid, wanted)
        )
    except Invalid:
        said = words("h5.profile.empty")
        return render_template("h5/profile.html", member=member, problem=said), 422
    flash(words("nickname.done", name=name))
    return redirect(url_for("h5.profile"))


# --- notices --------------------------------------------------------------------------------------------------------


@blueprint.get("/notices")
@members_only
def notice_settings() -> Page:
    """通知设置: on or off, promotions or none, and the 订阅通知 that WeChat asks about in a pop-up of its own."""
    account, member = here().account, me()
    offered = read(lambda session: subscriptions.offered(session, account.id, member.id))
    groups = [
        [template for template, _ in offered[start : start + subscriptions.POPUP_TEMPLATES]]
        for start in range(0, len(offered), subscriptions.POPUP_TEMPLATES)
    ]
    left = sum(credits for _, credits in offered)
    return render_template("h5/notices.html", member=member, groups=groups, left=left)


@blueprint.post("/notices")
@members_only
def set_notices() -> Page:
    """退订 or 订阅."""
    limit("notices", CHANGES_PER_MINUTE)
    account, member = here().account, me()
    promotions = "promotions" in request.form
    muted = request.form.get("promotions" if promotions else "notices") != "on"
    change = members.set_promotions_muted if promotions else members.set_muted
    transact(lambda session: change(session, account.id, member.openid, muted))
    kind = "promotions" if promotions else "notices"
    flash(here().words(f"h5.{kind}.off" if muted else f"h5.{kind}.on"))
    return redirect(url_for("h5.notice_settings"))


# --- personal data --------------------------------------------------------------------------------------------------


@blueprint.get("/privacy")
@members_only
def personal_data() -> Page:
    """个人信息: take it along, or have it erased."""
    return render_template("h5/privacy.html", member=me())


@blueprint.get("/privacy/export.json")
@members_only
def export() -> Page:
    """Everything that is kept about the member, as a file."""
    limit("export", EXPORTS_PER_MINUTE)
    member, account_id, now = me(), here().account.id, here().now
    database, keyring = context().database, context().keyring

    def pieces() -> Iterator[str]:
        with database.snapshot() as session:
            yield from privacy.export_pieces(session, keyring, account_id, member.id, now)

    headers = {"Content-Disposition": f'attachment; filename="my-data-{member.code}.json"'}
    return Response(pieces(), mimetype="application/json", headers=headers)


@blueprint.post("/privacy/erase")
@members_only
def erase() -> Page:
    """删除个人信息: name, phone, mail and real name; signs the member out everywhere."""
    account, member, now, words = here().account, me(), here().now, here().words
    if request.form.get("sure") != "yes":
        flash(words("h5.privacy.not_sure"))
        return redirect(url_for("h5.personal_data"))
    try:
        transact(lambda session: erasure.on_request(session, account, member, now))
    except StillPaying:
        flash(words("h5.privacy.still_paying"))
        return redirect(url_for("h5.personal_data"))
    response = make_response(render_template("h5/erased.html"))
    response.delete_cookie(cookie_name(account.slug), path=f"{here().root}/")
    return response


# --- disputes -------------------------------------------------------------------------------------------------------


@blueprint.get("/dispute")
@members_only
def dispute() -> Page:
    """申诉: how the last one stands, and the form."""
    return _dispute_page("", "")


def _dispute_page(said: str, problem: str) -> str:
    member = me()

    def look(session: Session) -> tuple[Dispute | None, list[DisputeNote]]:
        last = disputes.latest_of(session, member.id)
        return last, [] if last is None else disputes.notes_of(session, last.id)

    last, notes = read(look)
    return render_template(
        "h5/dispute.html", last=last, notes=notes, said=said, problem=problem, token=secrets.token_urlsafe(18),
        limit=disputes.BODY_LENGTH, by_member=disputes.MEMBER,
    )  # fmt: skip


@blueprint.post("/dispute")
@members_only
def open_dispute() -> Page:
    """Open one, or add to the open one; the form's token makes a second tap the same."""
    limit("dispute", CHANGES_PER_MINUTE)
    account, member, now, words = here().account, me(), here().now, here().words
    said, token = request.form.get("evidence", "").strip(), request.form.get("token", "")
    if not said or _TOKEN.fullmatch(token) is None:
        return _dispute_page(said, words("h5.dispute.empty")), 422
    if len(said) > disputes.BODY_LENGTH:
        return _dispute_page(said, words("dispute.too_long", limit=disputes.BODY_LENGTH)), 422
    try:
        objection = transact(
            lambda session: disputes.open_or_add(
                session, account, member.openid, said, push_key=f"h5-{member.id}-{token}", now=now
            )
        )
    except Invalid:
        return _dispute_page(said, words("dispute.enough")), 422
    flash(words("h5.dispute.added" if objection.added else "h5.dispute.opened"))
    return redirect(url_for("h5.dispute"))
