"""推广: the programme's rules and who agreed to them, the poster, and the link."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flask import Response, abort, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session

from domain import consents, outbox, posters, promoters, rules, scenes
from domain.models import Consent, Member
from domain.rules import RuleVersion
from domain.secrets import short_digest
from web.current import context
from web.h5.arriving import Page, blueprint, here, limit, page_url, read, transact
from web.h5.guards import me, members_only
from wechat.errors import Refused, WeChatError
from wechat.media import get_media

POSTERS_PER_MINUTE: Final = 5
PICTURES_PER_MINUTE: Final = 30
PICTURE_SECONDS: Final = 3600
_NOT_KEPT: Final = 40007


# --- the rules ------------------------------------------------------------------------------------------------------


@blueprint.get("/rules")
def programme() -> Page:
    """推广规则: what anybody may read, and when the reader agreed."""
    account, visitor = here().account, here().visitor
    text = consents.text_of(account, here().words)
    member = None if visitor is None else visitor.member

    def look(session: Session) -> tuple[RuleVersion | None, Consent | None]:
        agreed = None if member is None else consents.find(session, member.id, text)
        return rules.in_force(session, account.id, [here().now])[0], agreed

    rule, agreed = read(look)
    return render_template(
        "h5/rules.html", paragraphs=[line.strip() for line in text.splitlines() if line.strip()],
        version=consents.version_of(text), rule=rule, agreed=agreed, member=member,
    )  # fmt: skip


@blueprint.post("/rules")
@members_only
def agree() -> Page:
    """Agree to the wording that was read. One that was changed meanwhile has to be read again."""
    account, member, now = here().account, me(), here().now
    text = consents.text_of(account, here().words)
    if request.form.get("version") != consents.version_of(text):
        flash(here().words("h5.rules.changed"))
        return redirect(url_for("h5.programme"))
    transact(lambda session: consents.agree(session, account.id, member.id, text, now))
    flash(here().words("h5.rules.done"))
    return redirect(url_for("h5.poster"))


# --- poster and link ------------------------------------------------------------------------------------------------


@blueprint.get("/poster")
@members_only
def poster() -> Page:
    """我的海报: the picture to send, and the link. The picture is the one that the chat sends."""
    account, member, words = here().account, me(), here().words
    if read(lambda session: consents.is_missing(session, account, member.id, words)):
        flash(words("h5.rules.first"))
        return redirect(url_for("h5.programme"))
    if member.status != "active":
        return render_template("h5/poster.html", suspended=True)

    def look(session: Session) -> tuple[str, str | None, bool]:
        scene = scenes.of_member(session, account.id, member.id, here().now)
        ready = posters.ready_for(session, account.id, member.openid, here().now)
        media_id = None if ready is None else ready.media_id
        return scene.code, media_id, promoters.is_qualified(session, account.settings, member)

    code, media_id, qualified = transact(look)
    return render_template(
        "h5/poster.html", link=f"{page_url('home')}?r={code}", qualified=qualified,
        version=None if media_id is None else short_digest(media_id)[:10],
        making=request.args.get("making") == "1" and media_id is None,
    )  # fmt: skip


@blueprint.post("/poster")
@members_only
def make_poster() -> Page:
    """Have the picture made; it comes into the chat as well, if the member has written to us lately."""
    limit("poster", POSTERS_PER_MINUTE)
    account, member, now, words = here().account, me(), here().now, here().words

    def work(session: Session) -> bool:
        mine = session.get_one(Member, member.id)
        if mine.status != "active" or consents.is_missing(session, account, mine.id, words):
            return False
        minute = int(now.timestamp()) // 60  # tapped twice is asked for once
        message = outbox.Message(
            account.id, outbox.POSTER, f"poster-{mine.id}-h5-{minute}", {"openid": mine.openid}, now, mine.id
        )  # fmt: skip
        outbox.put_once(session, message, now)
        return True

    asked = transact(work)
    return redirect(url_for("h5.poster", making=1) if asked else url_for("h5.poster"))


def _forget(
    session: Session, account_id: int, member_id: int, media_id: str, now: datetime
) -> None:
    scene = scenes.of_member(session, account_id, member_id, now)
    posters.forget(session, scene.id, media_id)


@blueprint.get("/poster.jpg")
@members_only
def poster_picture() -> Page:
    """The member's own picture, from where WeChat keeps it; their browser keeps it for an hour."""
    limit("picture", PICTURES_PER_MINUTE)
    account, member, now = here().account, me(), here().now
    ready = read(lambda session: posters.ready_for(session, account.id, member.openid, now))
    if ready is None:
        abort(404)
    try:
        picture = get_media(context().platform(account), ready.media_id)
    except Refused as error:
        if error.errcode == _NOT_KEPT:
            transact(lambda session: _forget(session, account.id, member.id, ready.media_id, now))
        abort(404)
    except WeChatError as error:
        current_app.logger.warning("poster of %s: %s", member.code, error)
        abort(503)
    response = Response(picture, mimetype="image/jpeg")
    response.headers["Cache-Control"] = f"private, max-age={PICTURE_SECONDS}"
    return response
