"""标签, 黑名单, 粉丝同步: WeChat's tags and the rules that give them, who is kept out, WeChat's list against ours."""

from __future__ import annotations

from typing import Any, Final

from flask import render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import codes, followers, grades, members, tags
from domain.db import is_key
from domain.errors import Invalid, NotFound
from domain.models import FollowerSync, TagRule
from domain.staff.permissions import Permission
from web import tags as platform
from web.console.both import Both
from web.console.members import name_of
from web.console.menu_pages import talk
from web.console.navigation import MESSAGES, PEOPLE, Menu
from web.console.refusals import explain
from web.console.states import STATES, state
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import retold
from web.pages import t
from wechat.tags import SYSTEM_TAGS

CODES: Final = 500
PAGE: Final = 100

ATTRIBUTES: Final = {
    tags.BOUGHT: Both("买过东西", "Bought"),
    tags.GRADE: Both("等级", "Grade"),
    tags.DEPTH: Both("团队有几层", "Depth of the team"),
    tags.PROMOTER: Both("推广员", "Promoter"),
    tags.CHANNEL: Both("从哪个码来", "Came by"),
}
_FIXED: Final = {
    tags.BOUGHT: (("yes", Both("买过", "has bought")), ("no", Both("没买过", "never bought"))),
    tags.DEPTH: (
        ("1", Both("只有一级", "one level")),
        ("2", Both("有二级", "two levels")),
        ("3", Both("有三级", "three levels")),
    ),
    tags.PROMOTER: (("approved", Both("已批准", "approved")), ("applied", Both("申请中", "applied"))),
}  # fmt: skip
"""Values that every account has, in words."""

STATES["sync"] = {
    followers.LIST: ("读名单", "Reading the list", "info"),
    followers.ABSENT: ("核对离开的人", "Checking who left", "info"),
    followers.PROFILES: ("读资料", "Reading profiles", "info"),
    followers.DONE: ("已完成", "Done", "success"),
    followers.FAILED: ("失败", "Failed", "danger"),
}
RUNNING: Final = frozenset({followers.LIST, followers.ABSENT, followers.PROFILES})

_NAME: Final = Both("标签名为 1 到 30 个字。", "A tag's name has 1 to 30 characters.")
explain("a tag's name has 1 to 30 characters", _NAME)
explain("an account has at most 100 tags", Both("最多 100 个标签。", "At most 100 tags."))
explain("no such attribute", Both("请选一个条件。", "Please choose a condition."))
explain(
    "a rule gives this tag: remove the rule first",
    Both("有规则在打这个标签，请先删掉规则。", "A rule gives this tag: remove the rule first."),
)
explain(
    "nobody is called that",
    Both("请填 openid 或会员的邀请码。", "Give an openid, or a member's code."),
)
explain(
    "WeChat's own tags cannot be changed",
    Both("微信自带的标签不能改。", "WeChat's own tags cannot be changed."),
)


# --- tags and rules -------------------------------------------------------------------------------------------------


@page(
    "/tags",
    allow=Permission.CHAT_READ,
    menu=Menu(MESSAGES, Both("标签", "Tags"), "tags", 60),
)
def tag_list(visit: Visit) -> Answer:
    """WeChat's tags with their counts, the rules that give them, and what still has to be told to WeChat."""
    return render_template("console/tags.html", **visit.read(lambda session: _look(session, visit)))


def _look(session: Session, visit: Visit) -> dict[str, Any]:
    account_id = visit.account.id
    rules = tags.rules_of(session, account_id)
    values = _values(session, account_id)
    refused = tags.refusals(session, account_id)
    people = members.by_ids(session, {member_id for member_id, _, _ in refused})
    known = tags.tags_of(session, account_id)
    names = {one.tag_id: one.name for one in known}
    return {
        "tags": known, "rules": rules, "values": values, "attributes": ATTRIBUTES, "system": SYSTEM_TAGS,
        "progress": tags.progress(session, account_id), "most": tags.MOST_COUNTED,
        "given": {rule.tag_id for rule in rules}, "word": lambda rule: _word(values, rule),
        "refused": [
            (people[one], name_of(people[one]), names.get(tag_id, f"#{tag_id}"), retold(why))
            for one, tag_id, why in refused if one in people
        ],
    }  # fmt: skip


def _values(session: Session, account_id: int) -> dict[str, list[tuple[str, object]]]:
    """What may be chosen for each attribute: (value, title)."""
    found: dict[str, list[tuple[str, object]]] = {
        name: list(_FIXED.get(name, ())) for name in ATTRIBUTES
    }
    found[tags.GRADE] = [(one.code, one.name) for one in grades.all_of(session, account_id)]
    found[tags.CHANNEL] = [*codes.names(session, account_id, limit=CODES, archived=True)]
    return found


def _word(values: dict[str, list[tuple[str, object]]], rule: TagRule) -> object:
    return dict(values.get(rule.attribute, ())).get(rule.value, rule.value)


@page("/tags/read", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_read(visit: Visit) -> Response:
    """Ask WeChat which tags there are and how many carry them."""

    def read() -> str:
        found = platform.read(visit.context, visit.account)
        return t(f"微信上有 {len(found)} 个标签。", f"WeChat has {len(found)} tags.")

    return talk(visit, read, visit.url("tag_list"))


@page("/tags/sync", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_sync(visit: Visit) -> Response:
    """Look at every member again, without waiting for tomorrow's walk; the job tells WeChat within minutes."""
    return visit.change(
        lambda session: tags.look_at_all(session, visit.account.id),
        done=t("已开始：逐个检查会员，几分钟内告诉微信。", "Begun: every member is looked at, and WeChat told."),
        back=visit.url("tag_list"),
    )  # fmt: skip


@page("/tags/create", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_create(visit: Visit) -> Response:
    """Make a tag in WeChat."""

    def create() -> str:
        name = request.form.get("name", "")
        made = platform.create(visit.context, visit.account, name, actor=visit.actor)
        return t(f"已在微信新建标签「{made.name}」。", f"WeChat has the tag {made.name} now.")

    return talk(visit, create, visit.url("tag_list"))


def _own(visit: Visit, tag_id: int) -> None:
    """`NotFound` for a tag of others, before anything is asked of WeChat."""
    visit.read(lambda session: tags.get(session, visit.account.id, tag_id))


@page("/tags/<int:tag_id>/rename", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_rename(visit: Visit, tag_id: int) -> Response:
    """Another name in WeChat, and in the rules that give it."""
    _own(visit, tag_id)

    def rename() -> str:
        _changeable(tag_id)
        name = request.form.get("name", "")
        platform.rename(visit.context, visit.account, tag_id, name, actor=visit.actor)
        return t("已改名。", "Renamed.")

    return talk(visit, rename, visit.url("tag_list"))


@page("/tags/<int:tag_id>/delete", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_delete(visit: Visit, tag_id: int) -> Response:
    """Remove it from WeChat and everybody."""
    _own(visit, tag_id)

    def delete() -> str:
        _changeable(tag_id)
        reason = _reason(visit)
        platform.delete(visit.context, visit.account, tag_id, actor=visit.actor, reason=reason)
        return t("已删除。", "Deleted.")

    return talk(visit, delete, visit.url("tag_list"))


def _changeable(tag_id: int) -> None:
    if tag_id in SYSTEM_TAGS:
        raise Invalid("WeChat's own tags cannot be changed")


def _reason(visit: Visit) -> str:
    if not visit.reason():
        raise Invalid("a reason is needed")
    return visit.reason()


@page("/tags/rules", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_rule_add(visit: Visit) -> Response:
    """From now on members of this kind carry this tag; WeChat gets it if it is new."""
    attribute, _, value = request.form.get("when", "").partition(":")

    def add(session: Session) -> None:
        row = tags.put_rule(
            session, visit.account.id, attribute, value, request.form.get("name", "")
        )
        visit.note(session, action="tag_rule", subject=f"tag_rule/{row.id}", after=_noted(row))

    return visit.change(
        add,
        done=t("规则已保存，正在检查每个会员。", "Saved; every member is looked at."),
        back=visit.url("tag_list"),
    )


@page("/tags/rules/<int:rule_id>/remove", allow=Permission.CHAT_CHANGE, methods=("POST",))
def tag_rule_remove(visit: Visit, rule_id: int) -> Response:
    """Forget a rule; who carries the tag by it alone loses it."""

    def remove(session: Session) -> None:
        row = session.get(TagRule, rule_id)
        if row is None or row.account_id != visit.account.id:
            raise NotFound("no such rule", rule=rule_id)
        reason = _reason(visit)
        before = _noted(row)
        tags.remove_rule(session, visit.account.id, rule_id)
        visit.note(
            session,
            action="tag_rule_removed",
            subject=f"tag_rule/{rule_id}",
            before=before,
            after={"reason": reason},
        )

    return visit.change(
        remove,
        done=t("规则已删除，标签会从这些人身上取下。", "Removed: those people lose the tag."),
        back=visit.url("tag_list"),
    )


def _noted(row: TagRule) -> dict[str, Any]:
    return {"attribute": row.attribute, "value": row.value, "name": row.name}


# --- the blacklist --------------------------------------------------------------------------------------------------


@page(
    "/blacklist",
    allow=Permission.MEMBERS_READ,
    menu=Menu(PEOPLE, Both("黑名单", "Blacklist"), "person-slash", 40),
)
def blacklist(visit: Visit) -> Answer:
    """Whom WeChat keeps out: nothing that they do reaches us."""
    after = request.args.get("after", "")

    def look(session: Session) -> dict[str, Any]:
        rows = tags.blacklist_page(
            session, visit.account.id, after=after if is_key(after) else "", limit=PAGE + 1
        )
        ids = {row.member_id for row in rows if row.member_id is not None}
        people = members.by_ids(session, ids)
        more = rows[PAGE - 1].openid if len(rows) > PAGE else None
        names = {key: name_of(one) for key, one in people.items()}
        return {"rows": rows[:PAGE], "more": more, "names": names}

    return render_template("console/blacklist.html", **visit.read(look), after=after)


@page("/blacklist/read", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def blacklist_read(visit: Visit) -> Response:
    """Ask WeChat whom it keeps out."""

    def read() -> str:
        found = platform.read_blacklist(visit.context, visit.account, actor=visit.actor)
        return t(f"微信的黑名单里有 {len(found)} 人。", f"WeChat keeps {len(found)} people out.")

    return talk(visit, read, visit.url("blacklist"))


@page("/blacklist/add", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def blacklist_add(visit: Visit) -> Response:
    """Keep somebody out, named by openid or code; an openid need not be a member's."""

    def add() -> str:
        text = request.form.get("who", "").strip()
        found = visit.read(lambda session: members.find_named(session, visit.account.id, text))
        if not is_key(text):
            raise Invalid("nobody is called that")
        openid = text if found is None else found.openid
        platform.keep_out(
            visit.context, visit.account, [openid], reason=_reason(visit), actor=visit.actor
        )
        return t("已拉黑，这个人的消息不会再来。", "Kept out: nothing of this person reaches us.")

    return talk(visit, add, visit.url("blacklist"))


@page("/blacklist/remove", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def blacklist_remove(visit: Visit) -> Response:
    """Let somebody in again."""

    def remove() -> str:
        openid = request.form.get("openid", "")
        platform.let_in(
            visit.context, visit.account, [openid], reason=_reason(visit), actor=visit.actor
        )
        return t("已移出黑名单。", "Let in again.")

    return talk(visit, remove, visit.url("blacklist"))


# --- WeChat's list of followers -------------------------------------------------------------------------------------


@page(
    "/followers",
    allow=Permission.MEMBERS_READ,
    menu=Menu(PEOPLE, Both("粉丝同步", "Follower sync"), "arrow-repeat", 50),
)
def follower_sync(visit: Visit) -> Answer:
    """How far the last comparison of WeChat's list with ours is; only its progress for console.js."""
    row = visit.read(lambda session: followers.latest(session, visit.account.id))
    part = "X-Fragment" in request.headers
    return render_template(
        "console/followers_part.html" if part else "console/followers.html", row=row,
        badge=None if row is None else state("sync", row.state), open=_is_open(row), retold=retold,
    )  # fmt: skip


def _is_open(row: FollowerSync | None) -> bool:
    return row is not None and row.state in RUNNING


@page("/followers/sync", allow=Permission.MEMBERS_CHANGE, methods=("POST",))
def follower_sync_begin(visit: Visit) -> Response:
    """Begin one; the one that runs, if there is one."""

    def begin(session: Session) -> None:
        known = followers.find_running(session, visit.account.id)
        row = followers.begin(session, visit.account.id, actor=visit.actor, now=visit.now)
        if known is None:
            visit.note(session, action="followers_synced", subject=f"follower_sync/{row.id}")

    return visit.change(
        begin,
        done=t("同步已开始，可以离开这一页。", "It has begun; you may leave this page."),
        back=visit.url("follower_sync"),
    )
