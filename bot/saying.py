"""The merchant's own answers: the first message as the passive reply, the others behind it as customer-service
messages through the outbox, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from bot.visit import DONE, Answer, Cards, Film, Picture, Recording, Visit
from domain import bodies, members, outbox
from domain.bindings import display_name
from domain.bodies import Body, MediaBody, TextBody
from domain.replies import Rule


def say(visit: Visit, rule: Rule, lead: str = "") -> Answer:
    """Answer with this reply, in the sender's language where it has one. `lead` is a text of ours that is said before
    it, in the same message where it fits.

    A file that WeChat does not have at this moment follows as a message, because uploading takes longer than WeChat
    waits."""
    messages = rule.said_in(visit.words.lang) if rule.variants else rule.messages
    said = _filled(visit, messages)
    if lead:
        said = bodies.led(lead, said)
    first = _passive(visit, said[0])
    rest = said if first is None else said[1:]
    if rest:
        visit.transact(lambda session: _follow_up(session, visit, rest))
    return DONE if first is None else first


def _filled(visit: Visit, messages: Sequence[Body]) -> list[Body]:
    """The messages with their placeholders filled; the member is only read when their name or code is wanted."""
    names = set().union(*(bodies.names_in(each) for each in messages))
    if not names:
        return list(messages)
    values = {"account": visit.account.name, "nickname": visit.words("reply.stranger"), "code": ""}
    if names - {"account"}:
        found = visit.read(
            lambda session: members.find(session, visit.account.id, visit.push.openid)
        )
        if found is not None:
            name = display_name(found.nickname, found.code)
            values |= {"nickname": name, "code": found.code}
    return [bodies.filled(each, values) for each in messages]


def _passive(visit: Visit, body: Body) -> Answer | None:
    """The body as a passive reply; None when it cannot be one now."""
    if isinstance(body, TextBody):
        return body.text
    if not isinstance(body, MediaBody):
        return Cards(body.articles)
    known = visit.keywords.media.get(body.media)
    media_id = None if known is None else known.usable_id(visit.now)
    if media_id is None:
        return None
    if body.kind == bodies.IMAGE:
        return Picture(media_id)
    if body.kind == bodies.VOICE:
        return Recording(media_id)
    return Film(media_id, body.title, body.description)


def _follow_up(session: Session, visit: Visit, rest: Sequence[Body]) -> None:
    """One row holds what is still to be said: its drain says the first and writes the row of the others (jobs/replies
    .py), so that they arrive in order. A repeated push finds its row."""
    openid, account_id = visit.push.openid, visit.account.id
    payload = {"openid": openid, "messages": bodies.as_values(rest), "number": 1}
    member_id = members.ids_of(session, account_id, [openid]).get(openid)
    key = f"reply-{account_id}-{visit.push.key}"
    message = outbox.Message(account_id, outbox.REPLY, key, payload, visit.now, member_id)
    outbox.put_once(session, message, visit.now)
