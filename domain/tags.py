"""标签: WeChat's tags and our attributes, in both directions; and the blacklist.

A rule says: members whose attribute has this value carry this tag. What may have changed is marked by added rows
(`tag_mark`), never by an update of something shared; the job looks at marked members, writes per member and tag what
has to be told to WeChat (`member_tag.state`), and tells it in batches. Told twice is harmless there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain import members, scenes, sweeps
from domain.db import Sql, is_key, to_db
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Account, Blacklisted, Code, MemberTag, Sweep, Tag, TagRule

GRADE: Final = "grade"
BOUGHT: Final = "bought"
DEPTH: Final = "depth"
PROMOTER: Final = "promoter"
CHANNEL: Final = "channel"
ATTRIBUTES: Final = (GRADE, BOUGHT, DEPTH, PROMOTER, CHANNEL)
"""grade: its code. bought: yes or no. depth: 1 to 3, how deep a member's team goes. promoter: approved or applied.
channel: the code of the scene by which they followed."""

TAGS: Final = 100
NAME_LENGTH: Final = 30
PEOPLE_PER_CALL: Final = 50
LOOK_AT_ONCE: Final = 500
OVERLAP: Final = timedelta(minutes=2)
"""Events are looked at again for so long: a transaction may commit after a later one."""
TASK_EVENTS: Final = "tags-events"
TASK_ALL: Final = "tags-all"


# --- rules ----------------------------------------------------------------------------------------------------------


def put_rule(session: Session, account_id: int, attribute: str, value: str, name: str) -> TagRule:
    """From now on members with this value carry the tag of this name. Raises `Invalid`; all are looked at again."""
    name = name.strip()
    _check_rule(attribute, value, name)
    rules = rules_of(session, account_id)
    row = next((each for each in rules if (each.attribute, each.value) == (attribute, value)), None)
    if len({each.name for each in rules if each is not row} | {name}) > TAGS:
        raise Invalid(f"an account has at most {TAGS} tags", limit=TAGS)
    if row is None:
        row = TagRule(account_id=account_id, attribute=attribute, value=value, name=name)
        session.add(row)
    elif row.name != name:
        row.name, row.tag_id = name, None
    session.flush()
    if attribute == CHANNEL:
        _note_on_code(session, account_id, value, name)
    look_at_all(session, account_id)
    return row


def _check_rule(attribute: str, value: str, name: str) -> None:
    if attribute not in ATTRIBUTES or not is_key(value):
        raise Invalid("no such attribute", attribute=attribute, value=value[:64])
    if attribute == BOUGHT and value not in {"yes", "no"}:
        raise Invalid("bought is yes or no", value=value)
    if attribute == DEPTH and value not in {"1", "2", "3"}:
        raise Invalid("depth is 1, 2 or 3", value=value)
    if not 1 <= len(name) <= NAME_LENGTH:
        raise Invalid(f"a tag's name has 1 to {NAME_LENGTH} characters", name=name[:190])


def _note_on_code(session: Session, account_id: int, scene_code: str, name: str | None) -> None:
    """A channel's rule is what its code shows as its tag."""
    scene = scenes.find(session, account_id, scene_code)
    if scene is not None:
        session.execute(update(Code).where(Code.scene_id == scene.id).values(tag=name))


def remove_rule(session: Session, account_id: int, rule_id: int) -> None:
    """Forget a rule, or `NotFound`. Whoever carries its tag by it alone loses it at the next look."""
    row = session.get(TagRule, rule_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such rule", rule=rule_id)
    session.delete(row)
    session.flush()
    if row.attribute == CHANNEL:
        _note_on_code(session, account_id, row.value, None)
    look_at_all(session, account_id)


def follow_code(session: Session, account_id: int, scene_code: str, name: str | None) -> None:
    """Whoever follows by this code carries the tag of this name from now on; None takes the rule away."""
    if name is not None:
        put_rule(session, account_id, CHANNEL, scene_code, name)
        return
    query = select(TagRule.id).where(
        TagRule.account_id == account_id, TagRule.attribute == CHANNEL, TagRule.value == scene_code
    )
    known = session.scalar(query)
    if known is not None:
        remove_rule(session, account_id, known)


def rules_of(session: Session, account_id: int) -> list[TagRule]:
    """The account's rules."""
    query = select(TagRule).where(TagRule.account_id == account_id)
    return list(session.scalars(query.order_by(TagRule.attribute, TagRule.value)))


_HAS_WORK = Sql(
    "SELECT 1 AS one FROM tag_rule WHERE account_id = ? UNION ALL"
    " SELECT 1 FROM member_tag WHERE account_id = ? AND state IN ('add', 'remove') LIMIT 1"
)


def accounts_with_work(session: Session) -> list[int]:
    """Accounts that have rules, or tags still to be told to WeChat. Asked account by account: that is what the index
    answers without looking at everybody's tags."""
    ids = session.scalars(select(Account.id).order_by(Account.id))
    return [each for each in ids if _HAS_WORK(session, each, each).first() is not None]


# --- the tags of the account ----------------------------------------------------------------------------------------


def read_back(
    session: Session, account_id: int, tags: Sequence[tuple[int, str, int]], now: datetime
) -> None:
    """What WeChat has now: (tag_id, name, people). Rules find their tags by name; those of tags that are gone need a
    new one, and nobody carries those any more."""
    have = {tag_id: name for tag_id, name, _ in tags}
    by_name = {name: tag_id for tag_id, name in have.items()}
    session.execute(delete(Tag).where(Tag.account_id == account_id, Tag.tag_id.not_in(have.keys())))
    for tag_id, name, people in tags:
        session.merge(
            Tag(account_id=account_id, tag_id=tag_id, name=name, people=people, read_at=now)
        )
    session.execute(
        delete(MemberTag).where(
            MemberTag.account_id == account_id, MemberTag.tag_id.not_in(have.keys())
        )
    )
    for rule in rules_of(session, account_id):
        found = by_name.get(rule.name)
        if rule.tag_id != found:
            rule.tag_id = found
            look_at_all(session, account_id)
    session.flush()


def missing_names(session: Session, account_id: int) -> list[str]:
    """Names of tags that rules want and WeChat does not have yet."""
    return sorted({rule.name for rule in rules_of(session, account_id) if rule.tag_id is None})


def tags_of(session: Session, account_id: int) -> list[Tag]:
    """The account's tags as they were last read."""
    query = select(Tag).where(Tag.account_id == account_id)
    return list(session.scalars(query.order_by(Tag.tag_id)))


def get(session: Session, account_id: int, tag_id: int) -> Tag:
    """A tag of the account as it was last read, or `NotFound`."""
    row = session.get(Tag, (account_id, tag_id))
    if row is None:
        raise NotFound("no such tag", tag_id=tag_id)
    return row


# --- whose tags may have changed ------------------------------------------------------------------------------------

_MARK = Sql("INSERT INTO tag_mark (account_id, member_id) VALUES (?, ?)")
_MARK_EVENTS = Sql(
    "INSERT INTO tag_mark (account_id, member_id) SELECT DISTINCT account_id, member_id FROM event"
    " WHERE account_id = ? AND kind IN ('buy', 'follow') AND at >= ? AND at < ? AND member_id IS NOT NULL"
)
_MARK_GRADES = Sql(
    "INSERT INTO tag_mark (account_id, member_id) SELECT DISTINCT account_id, member_id FROM grade_history"
    " WHERE account_id = ? AND id > ? AND at >= ?"
)
_LAST_GRADE = Sql("SELECT MAX(id) AS id FROM grade_history WHERE account_id = ?")
_MARKED = Sql("SELECT id, member_id FROM tag_mark WHERE account_id = ? ORDER BY id LIMIT ?")
_UNMARK = Sql("DELETE FROM tag_mark WHERE id IN (??)")
_NEXT = Sql("SELECT id FROM member WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?")


def mark(session: Session, account_id: int, member_ids: Iterable[int]) -> None:
    """These members' tags may have changed. Only adds rows, so nothing waits for anything."""
    _MARK.many(session, [(account_id, member_id) for member_id in member_ids])


def mark_news(session: Session, account_id: int, now: datetime) -> None:
    """Mark who followed, bought or changed grade since the last time, from what is written down anyway: the paths of
    orders and pushes carry nothing for tags."""
    place = sweeps.place(session, account_id, TASK_EVENTS)
    since = (place.finished_at or now - timedelta(days=1)) - OVERLAP
    _MARK_EVENTS(session, account_id, to_db(since), to_db(now + OVERLAP))
    _MARK_GRADES(session, account_id, max(place.after_id - 100, 0), to_db(since))
    place.after_id = _LAST_GRADE(session, account_id).one().id or 0
    place.finished_at = now


def look_at_all(session: Session, account_id: int) -> None:
    """Look at every member again, from the first."""
    place = sweeps.place(session, account_id, TASK_ALL)
    place.after_id, place.finished_at = 0, None
    session.flush()


def mark_next(session: Session, account_id: int, now: datetime) -> int:
    """Mark the next members of the walk through all of them, which begins anew a day after it ended; how many."""
    place = sweeps.place(session, account_id, TASK_ALL)
    if place.finished_at is not None and now < place.finished_at + timedelta(days=1):
        return 0
    ids = [row.id for row in _NEXT(session, account_id, place.after_id, LOOK_AT_ONCE)]
    mark(session, account_id, ids)
    done = len(ids) < LOOK_AT_ONCE
    place.after_id, place.finished_at = (0, now) if done else (ids[-1], None)
    return len(ids)


# --- which tags a member should carry -------------------------------------------------------------------------------

_FACTS = Sql("SELECT id, grade, promoter, first_paid_at, following FROM member WHERE id IN (??)")
_DEPTHS = Sql(
    "SELECT member_id, level FROM tally WHERE member_id IN (??) GROUP BY member_id, level HAVING SUM(people) > 0"
)
_CHANNELS = Sql(
    "SELECT DISTINCT member_id, detail FROM event WHERE kind = 'follow' AND detail IS NOT NULL AND member_id IN (??)"
)
_CARRIED = Sql("SELECT member_id, tag_id, state, ours FROM member_tag WHERE member_id IN (??)")
_ADD = Sql(
    "INSERT INTO member_tag (member_id, tag_id, account_id, state, ours) VALUES (?, ?, ?, 'add', 1)"
)
_STATE = Sql("UPDATE member_tag SET state = ?, ours = ? WHERE member_id = ? AND tag_id = ?")
_DROP = Sql("DELETE FROM member_tag WHERE member_id = ? AND tag_id = ?")


def look(session: Session, account_id: int) -> int:
    """Look at up to `LOOK_AT_ONCE` marks and write down which tags their members gain and lose; how many marks."""
    marks = _MARKED(session, account_id, LOOK_AT_ONCE).all()
    if not marks:
        return 0
    ids = sorted({row.member_id for row in marks})
    wanted = _wanted(session, account_id, ids)
    carried: dict[int, dict[int, Any]] = defaultdict(dict)
    for row in _CARRIED.among(session, (), ids):
        carried[row.member_id][row.tag_id] = row
    added = []
    for member_id in ids:
        have = carried[member_id]
        want = wanted.get(member_id, set())
        added += [(member_id, tag_id, account_id) for tag_id in sorted(want - have.keys())]
        for tag_id, row in have.items():
            _turn(session, row, tag_id in want)
    _ADD.many(session, added)
    _UNMARK.among(session, (), [row.id for row in marks])
    return len(marks)


def _turn(session: Session, row: Any, is_wanted: bool) -> None:
    """What becomes of a tag that a member carries. One that somebody gave by hand stays when no rule wants it."""
    if is_wanted:
        if row.state == "remove" or not row.ours:
            state = "set" if row.state in {"remove", "set"} else row.state
            _STATE(session, state, 1, row.member_id, row.tag_id)
    elif row.ours and row.state in {"add", "refused"}:
        _DROP(session, row.member_id, row.tag_id)
    elif row.ours and row.state == "set":
        _STATE(session, "remove", 1, row.member_id, row.tag_id)


def _wanted(session: Session, account_id: int, ids: Sequence[int]) -> dict[int, set[int]]:
    """The tags that the rules give these members. Who does not follow has none: WeChat takes no tags of them."""
    rules: dict[tuple[str, str], int] = {
        (rule.attribute, rule.value): rule.tag_id
        for rule in rules_of(session, account_id)
        if rule.tag_id is not None
    }
    if not rules:
        return {}
    values: dict[int, set[tuple[str, str]]] = {}
    for row in _FACTS.among(session, (), ids):
        if row.following:
            bought = "no" if row.first_paid_at is None else "yes"
            values[row.id] = {(GRADE, row.grade), (PROMOTER, row.promoter), (BOUGHT, bought)}
    depths: dict[int, int] = {}
    for row in _DEPTHS.among(session, (), ids):
        depths[row.member_id] = max(depths.get(row.member_id, 0), row.level)
    for member_id, depth in depths.items():
        values.get(member_id, set()).add((DEPTH, str(depth)))
    if any(attribute == CHANNEL for attribute, _ in rules):
        for row in _CHANNELS.among(session, (), ids):
            values.get(row.member_id, set()).add((CHANNEL, row.detail))
    return {
        member_id: {rules[each] for each in have if each in rules}
        for member_id, have in values.items()
    }


# --- telling WeChat -------------------------------------------------------------------------------------------------

_WAITING = Sql(
    "SELECT t.state, t.tag_id FROM member_tag t JOIN member m ON m.id = t.member_id"
    " WHERE t.account_id = ? AND t.state IN ('add', 'remove') AND m.following = 1"
    " ORDER BY t.state, t.tag_id LIMIT 1"
)
_PEOPLE = Sql(
    "SELECT m.id, m.openid FROM member_tag t JOIN member m ON m.id = t.member_id"
    " WHERE t.account_id = ? AND t.state = ? AND t.tag_id = ? AND m.following = 1 ORDER BY m.id LIMIT ?"
)
_TOLD_ADD = Sql(
    "UPDATE member_tag SET state = 'set', error = NULL WHERE tag_id = ? AND state = 'add' AND member_id IN (??)"
)
_TOLD_REMOVE = Sql(
    "DELETE FROM member_tag WHERE tag_id = ? AND state = 'remove' AND member_id IN (??)"
)
_REFUSED = Sql(
    "UPDATE member_tag SET state = 'refused', error = ? WHERE tag_id = ? AND state IN ('add', 'remove')"
    " AND member_id IN (??)"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to 50 followers who gain (`add`) or lose (`remove`) one tag: openids by member."""

    state: str
    tag_id: int
    people: Mapping[int, str]


def next_batch(session: Session, account_id: int) -> Batch | None:
    """What to tell WeChat next."""
    first = _WAITING(session, account_id).first()
    if first is None:
        return None
    rows = _PEOPLE(session, account_id, first.state, first.tag_id, PEOPLE_PER_CALL)
    return Batch(first.state, first.tag_id, {row.id: row.openid for row in rows})


def told(session: Session, state: str, tag_id: int, member_ids: Sequence[int]) -> None:
    """WeChat knows. Somebody whose tag turned the other way meanwhile is told again."""
    (_TOLD_ADD if state == "add" else _TOLD_REMOVE).among(session, (tag_id,), member_ids)


def refused(session: Session, tag_id: int, member_ids: Sequence[int], error: str) -> None:
    """WeChat will not: it is not asked again until something about the member changes."""
    _REFUSED.among(session, (error[:190], tag_id), member_ids)


_COUNT_WAITING = Sql(
    "SELECT COUNT(*) AS people FROM (SELECT 1 FROM member_tag WHERE account_id = ? AND state = ? LIMIT ?) AS some"
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the tags of an account are: when every member was looked at, None while that goes on, and how many tags
    wait to be told to WeChat or were refused, up to `MOST_COUNTED`."""

    looked_at: datetime | None
    waiting: int
    refused: int


MOST_COUNTED: Final = 10_000


def progress(session: Session, account_id: int) -> Progress:
    """For people who look."""
    place = session.get(Sweep, (account_id, TASK_ALL))
    count = {
        state: _COUNT_WAITING(session, account_id, state, MOST_COUNTED).one().people
        for state in ("add", "remove", "refused")
    }
    return Progress(
        None if place is None else place.finished_at, count["add"] + count["remove"], count["refused"]
    )  # fmt: skip


def refusals(session: Session, account_id: int, limit: int = 20) -> list[tuple[int, int, str]]:
    """Some of what WeChat refused: (member, tag, why)."""
    query = select(MemberTag.member_id, MemberTag.tag_id, MemberTag.error).where(
        MemberTag.account_id == account_id, MemberTag.state == "refused"
    )
    return [(one, tag, error or "") for one, tag, error in session.execute(query.limit(limit))]


# --- the blacklist --------------------------------------------------------------------------------------------------


def blacklist_page(
    session: Session, account_id: int, *, after: str = "", limit: int = 100
) -> list[Blacklisted]:
    """Who is kept out, as it was last read; keyset page after an openid."""
    query = select(Blacklisted).where(
        Blacklisted.account_id == account_id, Blacklisted.openid > after
    )
    return list(session.scalars(query.order_by(Blacklisted.openid).limit(limit)))


def blacklist_of(session: Session, account_id: int) -> list[Blacklisted]:
    """Who is kept out, as it was last read."""
    query = select(Blacklisted).where(Blacklisted.account_id == account_id)
    return list(session.scalars(query.order_by(Blacklisted.openid)))


def keep_blacklist(
    session: Session, account_id: int, openids: Sequence[str], *, actor: str, now: datetime, whole: bool
) -> None:  # fmt: skip
    """These are kept out; with `whole` nobody else is."""
    wanted = {openid for openid in openids if is_key(openid)}
    have = {row.openid: row for row in blacklist_of(session, account_id)}
    ids = members.ids_of(session, account_id, sorted(wanted - have.keys()))
    for openid in sorted(wanted - have.keys()):
        session.add(
            Blacklisted(account_id=account_id, openid=openid, member_id=ids.get(openid), actor=actor, at=now)
        )  # fmt: skip
    if whole:
        drop_blacklist(session, account_id, sorted(have.keys() - wanted))
    session.flush()


def drop_blacklist(session: Session, account_id: int, openids: Sequence[str]) -> None:
    """These are let in again."""
    session.execute(
        delete(Blacklisted).where(
            Blacklisted.account_id == account_id, Blacklisted.openid.in_(openids)
        )
    )


def check_people(openids: Sequence[str], most: int) -> None:
    """`Invalid` unless these are 1 to `most` different openids."""
    if not 1 <= len(openids) <= most or not all(map(is_key, openids)):
        raise Invalid(f"1 to {most} openids", people=len(openids))
    if len(set(openids)) != len(openids):
        raise Conflict("an openid is named twice")


def rename(session: Session, account_id: int, tag_id: int, name: str) -> None:
    """A tag was renamed in WeChat: the rules that mean it follow, and the codes."""
    for model in (Tag, TagRule):
        session.execute(
            update(model)
            .where(model.account_id == account_id, model.tag_id == tag_id)
            .values(name=name)
        )
    for rule in rules_of(session, account_id):
        if rule.tag_id == tag_id and rule.attribute == CHANNEL:
            _note_on_code(session, account_id, rule.value, name)
