"""我的: balance, team and the ways on; the welcome of those who do not follow; and a promoter's link."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session

from domain import members, notices, promoters, scenes, withdrawals
from domain.bindings import display_name
from domain.members import Summary
from domain.models import Member
from domain.withdrawals import OPEN
from web.current import context
from web.h5.arriving import Page, blueprint, drawn, here, limit, read, transact
from web.h5.guards import me, members_only, signed_in
from web.h5.tickets import follow_code

NEWS: Final = 3
LINKS_PER_MINUTE: Final = 10


@blueprint.get("/")
def home() -> Page:
    """我的; with `?r=` somebody came by a promoter's link."""
    return _came_by_link() if request.args.get("r") else _mine()


@members_only
def _mine() -> Page:
    account, member = here().account, me()

    def look(session: Session) -> tuple[Summary | None, int, list[str], bool]:
        summary = members.summary(session, account.id, member.openid)
        waiting = sum(
            row.status in OPEN for row in withdrawals.of_member(session, member.id, limit=20)
        )
        told = notices.latest_of(session, member.id, NEWS)
        qualified = promoters.is_qualified(session, account.settings, member)
        return summary, waiting, [_news(one.occasion, one.params) for one in told], qualified

    summary, waiting, news, qualified = read(look)
    if summary is None:
        raise LookupError("a member without figures")
    return render_template(
        "h5/home.html", me=summary, name=display_name(member.nickname, member.code), code=member.code,
        total=summary.down_to(account.depth), waiting=waiting, news=news,
        qualified=qualified,
    )  # fmt: skip


def _news(occasion: str, params: str) -> str:
    return here().words.notice(occasion, json.loads(params))


# --- a promoter's link ----------------------------------------------------------------------------------------------


@signed_in
def _came_by_link() -> Page:
    """`?r=<code>`: for a follower the same as scanning the code, with the same refusals. A top-level visit only: the
    session's cookie (SameSite=Lax) does not come with a picture or a frame on somebody else's page."""
    limit("link", LINKS_PER_MINUTE)
    visitor, account, now = here().visitor, here().account, here().now
    if visitor is None:
        raise LookupError("a view without its guard")
    code = request.args["r"][:64]
    minute = int(now.timestamp()) // 60
    # The same link in the same minute is one touch: a reload adds nothing.
    key = hashlib.sha256(f"link {visitor.openid} {code} {minute}".encode()).hexdigest()[:48]
    touch = transact(
        lambda session: members.by_link(
            session, account, visitor.openid, scene_code=code, push_key=f"link-{key}", now=now
        )
    )
    if touch is None:
        return _welcome(code)
    words = here().words
    if touch.referrer is not None:
        flash(words("scan.bound", referrer=touch.referrer))
    elif touch.refused is not None:
        flash(words(f"refused.{touch.refused}"))
    return redirect(f"{here().root}/")


@blueprint.get("/welcome")
def welcome() -> Page:
    """What anybody may see: the account, and the code to follow it by."""
    return _welcome("")


def _welcome(code: str) -> Page:
    """`code`: whose link somebody came by; their own code is shown, so that following binds as it does in the chat."""
    account = here().account

    def find(session: Session) -> Member | None:
        scene = scenes.find(session, account.id, code) if code else None
        if scene is None or scene.member_id is None:
            return None
        promoter = session.get(Member, scene.member_id)
        return promoter if promoter is not None and promoter.status == "active" else None

    promoter = read(find)
    address = follow_code(context(), account, promoter, here().now)
    name = "" if promoter is None else display_name(promoter.nickname, promoter.code)
    return render_template(
        "h5/welcome.html", referrer=name, code=None if address is None else drawn(address)
    )
