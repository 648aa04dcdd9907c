"""What the console, `flask tag` and `flask blacklist` do with tags (标签) and the blacklist (黑名单): tell WeChat,
then write down what it has. Which followers carry which tag is told by jobs/tags.py.

https://developers.weixin.qq.com/doc/service/api/usermanage/tag/api_createtag
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.orm import Session

from context import Context
from domain import audit, tags
from domain.accounts import OpenAccount
from domain.errors import Conflict, Invalid
from wechat import tags as platform
from wechat.tags import Tag

PAGES: Final = 100
"""Pages of the blacklist that are read at most, of 10 000 people each."""


def read(context: Context, account: OpenAccount) -> list[Tag]:
    """The tags that WeChat has now, written down. WeChat's errors pass through."""
    found = platform.list_tags(context.platform(account))
    now = context.clock.now()
    known = [(each.tag_id, each.name, each.people) for each in found]
    context.database.transact(lambda session: tags.read_back(session, account.id, known, now))
    return found


def create(context: Context, account: OpenAccount, name: str, *, actor: str) -> Tag:
    """Make a tag. Raises `Invalid` for its name; WeChat's errors pass through."""
    made = platform.create_tag(context.platform(account), _checked(name))
    _note(context, account, actor, "tag_created", made.tag_id, None, {"name": made.name})
    read(context, account)
    return made


def rename(context: Context, account: OpenAccount, tag_id: int, name: str, *, actor: str) -> None:
    """Give a tag another name; rules that give it follow."""
    wanted = _checked(name)
    before = {each.tag_id: each.name for each in context.database.read(_known(account))}
    platform.rename_tag(context.platform(account), tag_id, wanted)
    context.database.transact(lambda session: tags.rename(session, account.id, tag_id, wanted))
    _note(
        context, account, actor, "tag_renamed", tag_id, {"name": before.get(tag_id)}, {"name": wanted}
    )  # fmt: skip


def delete(context: Context, account: OpenAccount, tag_id: int, *, actor: str, reason: str = "") -> None:  # fmt: skip
    """Remove a tag from the account and everybody. Raises `Conflict` while a rule gives it: it would be made again."""
    rules = context.database.read(lambda session: tags.rules_of(session, account.id))
    if any(rule.tag_id == tag_id for rule in rules):
        raise Conflict("a rule gives this tag: remove the rule first", tag_id=tag_id)
    before = {each.tag_id: each.name for each in context.database.read(_known(account))}
    platform.delete_tag(context.platform(account), tag_id)
    _note(
        context, account, actor, "tag_deleted", tag_id, {"name": before.get(tag_id)}, {"reason": reason}
    )  # fmt: skip
    read(context, account)


def _known(account: OpenAccount) -> Any:
    return lambda session: tags.tags_of(session, account.id)


def _checked(name: str) -> str:
    kept = name.strip()
    if not 1 <= len(kept) <= platform.NAME_LENGTH:
        raise Invalid(f"a tag's name has 1 to {platform.NAME_LENGTH} characters")
    return kept


def _note(
    context: Context, account: OpenAccount, actor: str, action: str, tag_id: int, before: Any, after: Any
) -> None:  # fmt: skip
    now = context.clock.now()
    context.database.transact(
        lambda session: audit.record(
            session, account.id, actor=actor, action=action, subject=f"tag/{tag_id}",
            before=before, after=after, now=now,
        )
    )  # fmt: skip


# --- the blacklist --------------------------------------------------------------------------------------------------


def read_blacklist(context: Context, account: OpenAccount, *, actor: str) -> list[str]:
    """The openids that WeChat keeps out now, written down."""
    client, now = context.platform(account), context.clock.now()
    openids: list[str] = []
    page = platform.blacklist(client)
    for _ in range(PAGES):
        openids += page.openids
        if not page.next_openid:
            break
        page = platform.blacklist(client, page.next_openid)
    openids = list(dict.fromkeys(openids))
    context.database.transact(
        lambda session: tags.keep_blacklist(
            session, account.id, openids, actor=actor, now=now, whole=True
        )
    )
    return openids


def keep_out(
    context: Context, account: OpenAccount, openids: Sequence[str], *, reason: str, actor: str
) -> None:  # fmt: skip
    """Keep up to 20 people out: their messages do not come any more. Raises `Invalid`, `Conflict`."""
    tags.check_people(openids, platform.BLACKLIST_PER_CALL)
    platform.add_to_blacklist(context.platform(account), openids)
    now = context.clock.now()

    def keep(session: Session) -> None:
        tags.keep_blacklist(session, account.id, openids, actor=actor, now=now, whole=False)
        _note_ban(session, account.id, actor, "blacklisted", openids, reason, now)

    context.database.transact(keep)


def let_in(
    context: Context, account: OpenAccount, openids: Sequence[str], *, reason: str, actor: str
) -> None:  # fmt: skip
    """Let up to 20 people in again. Raises `Invalid`, `Conflict`."""
    tags.check_people(openids, platform.BLACKLIST_PER_CALL)
    platform.remove_from_blacklist(context.platform(account), openids)
    now = context.clock.now()

    def drop(session: Session) -> None:
        tags.drop_blacklist(session, account.id, openids)
        _note_ban(session, account.id, actor, "unblacklisted", openids, reason, now)

    context.database.transact(drop)


def _note_ban(
    session: Session, account_id: int, actor: str, action: str, openids: Sequence[str], reason: str, now: Any
) -> None:  # fmt: skip
    audit.record(
        session, account_id, actor=actor, action=action, subject="blacklist",
        after={"openids": list(openids), "reason": reason}, now=now,
    )  # fmt: skip
