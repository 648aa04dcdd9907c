"""会员: who follows, what a push about them does, and what the chat shows of them. Whom they came by: bindings.py."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import bindings, events, privacy, referrals, registrations, scenes
from domain.accounts import OpenAccount
from domain.bindings import PAID_LEVELS, Found, Person
from domain.db import UNIT, Sql, changed, is_duplicate, is_key, maybe_from_db, packed, to_db
from domain.errors import Invalid, NotFound
from domain.keyset import seek
from domain.models import Identity, Member, Relation
from domain.secrets import Keyring, random_code
from domain.tally import COLUMNS, Changes, Figures
from domain.texts import LANGUAGES


@dataclass(frozen=True, slots=True)
class Touch:
    """What a follow, scan or leave came to. `repeated`: this push had been applied before, nothing was done now.

    `referrer` is the name of the member they were bound to now; `refused` the reason when a code did not bind;
    `scene` what the code carries, also at a repeat.
    """

    member_id: int
    name: str
    is_new: bool = False
    repeated: bool = False
    referrer: str | None = None
    refused: str | None = None
    scene: Found | None = None


@dataclass(slots=True)
class Summary:
    """What members are told of themselves: their money in fen, the figures of each level (1 to 3), and how to speak to
    them."""

    lang: str
    unread: bool
    available_fen: int
    withdrawing_fen: int
    levels: dict[int, Figures] = field(default_factory=dict)

    @property
    def total(self) -> Figures:
        """All levels together."""
        return self.down_to(PAID_LEVELS)

    def down_to(self, depth: int) -> Figures:
        """The first levels together: what a merchant who pays so many of them shows."""
        total = Figures()
        for level in range(1, depth + 1):
            total.add(self.levels[level])
        return total


# --- reading --------------------------------------------------------------------------------------------------------

_PERSON_COLUMNS = (
    "id, code, nickname, referrer_id, bound_at, following, follow_changed_at, first_paid_at"
)
_PERSON = Sql(f"SELECT {_PERSON_COLUMNS} FROM member WHERE account_id = ? AND openid = ?")
_PERSON_LOCKED = Sql(
    f"SELECT {_PERSON_COLUMNS} FROM member WHERE account_id = ? AND openid = ? FOR UPDATE",
    sqlite=f"SELECT {_PERSON_COLUMNS} FROM member WHERE account_id = ? AND openid = ?",
)


_OWN: Final = (
    "m.lang", "m.unread", "COALESCE(b.available_fen, 0)", "COALESCE(b.withdrawing_fen, 0)"
)  # fmt: skip
_OF_MEMBER: Final = (
    " AS packed FROM member m LEFT JOIN balance b ON b.member_id = m.id LEFT JOIN tally t ON t.member_id = m.id"
    " WHERE m.account_id = ? AND m.openid = ?"
)
_FEW: Final = 12
"""So many rows of figures are added up here: the database would make a temporary table for it, a quarter of the whole
answer (measured). Folded figures are one row a level; a team that sells much at this moment has more."""


def _summary_sql(figures: Sequence[str], tail: str) -> Sql:
    mysql, sqlite = packed(_OWN, ("t.level", *figures))
    return Sql(f"SELECT {mysql}{_OF_MEMBER}{tail}", sqlite=f"SELECT {sqlite}{_OF_MEMBER}{tail}")


_SUMMARY = _summary_sql([f"t.{name}" for name in COLUMNS], f" LIMIT {_FEW + 1}")
_SUMMARY_OF_MANY = _summary_sql(
    [f"SUM(t.{name})" for name in COLUMNS],
    " GROUP BY m.lang, m.unread, b.available_fen, b.withdrawing_fen, t.level",
)


def find(session: Session, account_id: int, openid: str) -> Member | None:
    """The member with this openid in this account."""
    if not is_key(openid):
        return None
    return session.scalar(
        select(Member).where(Member.account_id == account_id, Member.openid == openid)
    )


def get(session: Session, account_id: int, openid: str) -> Member:
    """The member with this openid, or `NotFound`."""
    member = find(session, account_id, openid)
    if member is None:
        raise NotFound("no such member", openid=openid)
    return member


def find_named(session: Session, account_id: int, text: str) -> Member | None:
    """Whom staff mean: by openid or by 邀请码, which both name one person of the account."""
    text = text.strip()
    if not is_key(text):
        return None
    keys = or_(Member.openid == text, Member.code == text.upper())
    return session.scalar(select(Member).where(Member.account_id == account_id, keys).limit(1))


def by_ids(session: Session, member_ids: Collection[int]) -> dict[int, Member]:
    """The members with these ids."""
    rows = session.scalars(select(Member).where(Member.id.in_(member_ids)))
    return {member.id: member for member in rows}


def summary(session: Session, account_id: int, openid: str) -> Summary | None:
    """Balances and team figures in one statement, however large the team (tally.py says why)."""
    rows = _SUMMARY(session, account_id, openid).all()
    if len(rows) > _FEW:
        rows = _SUMMARY_OF_MANY(session, account_id, openid).all()
    if not rows:
        return None
    found = [row.packed.split(UNIT) for row in rows]
    lang, unread, available_fen, withdrawing_fen = found[0][: len(_OWN)]
    levels = {level: Figures() for level in range(1, PAID_LEVELS + 1)}
    for _, _, _, _, *figures in found:
        if figures:
            level, *values = map(int, figures)
            levels[level].add(Figures(*values))
    return Summary(lang, unread == "1", int(available_fen), int(withdrawing_fen), levels)


_IDS = Sql("SELECT openid, id FROM member WHERE account_id = ? AND openid IN (??)")


def ids_of(session: Session, account_id: int, openids: Collection[str]) -> dict[str, int]:
    """The member ids of those openids that are members."""
    rows = _IDS.among(session, (account_id,), sorted(openids))
    return {row.openid: row.id for row in rows}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message is for, and whether it may be sent."""

    member_id: int
    openid: str
    following: bool
    muted: bool
    lang: str = ""
    """Empty: the account's."""


_RECIPIENTS = Sql("SELECT id, openid, following, muted, lang FROM member WHERE id IN (??)")


def recipients(session: Session, member_ids: Sequence[int]) -> dict[int, Recipient]:
    """The addresses of these members, in one statement."""
    if not member_ids:
        return {}
    rows = _RECIPIENTS.among(session, (), sorted(set(member_ids)))
    return {
        row.id: Recipient(row.id, row.openid, bool(row.following), bool(row.muted), row.lang)
        for row in rows
    }


def uplines(session: Session, member_id: int) -> list[tuple[int, Member]]:
    """(level, member) above this one, nearest first, at most three."""
    query = (
        select(Relation.level, Member)
        .join(Member, Member.id == Relation.ancestor_id)
        .where(Relation.descendant_id == member_id)
        .order_by(Relation.level)
    )
    return [(level, member) for level, member in session.execute(query)]


def newest_downline(
    session: Session, member_id: int, level: int, *, before_id: int | None = None, limit: int = 20
) -> list[Member]:
    """Members of one level below, the latest to join first; keyset page before `before_id`."""
    query = (
        select(Member)
        .join(Relation, Relation.descendant_id == Member.id)
        .where(Relation.ancestor_id == member_id, Relation.level == level)
        .order_by(Relation.descendant_id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = seek(query.where(Relation.descendant_id < before_id), Relation.descendant_id)
    return list(session.scalars(query))


def downline(
    session: Session, member_id: int, level: int, *, after_id: int = 0, limit: int = 50
) -> list[Member]:
    """Members of one level below, by id (joining order); keyset page after `after_id`."""
    query = (
        select(Member)
        .join(Relation, Relation.descendant_id == Member.id)
        .where(
            Relation.ancestor_id == member_id,
            Relation.level == level,
            Relation.descendant_id > after_id,
        )
        .order_by(Relation.descendant_id)
        .limit(limit)
    )
    return list(session.scalars(seek(query, Relation.descendant_id)))


# --- what a push does -----------------------------------------------------------------------------------------------


def follow(
    session: Session,
    account: OpenAccount,
    openid: str,
    *,
    scene_code: str | None,
    created: int,
    push_key: str,
    now: datetime,
) -> Touch:
    """A follower subscribed, perhaps by a code. `created`: the push's CreateTime in seconds; `push_key` makes a repeat
    harmless. Joins, binds, and sets the follow state unless a later change is known already."""
    found = bindings.look_up(session, account.id, scene_code)
    person, is_new = _join(session, account.id, openid, now)
    if not events.record(
        session,
        account.id,
        push_key,
        events.FOLLOW,
        _at(created),
        member_id=person.id,
        scene_id=None if found is None else found.scene_id,
        detail=scene_code and scene_code[:190],
    ):
        return Touch(person.id, person.name, repeated=True, scene=found)
    changes = Changes()
    by_follow = is_new or not person.following
    referrer, refused = None, None
    linked = bindings.look_up(session, account.id, referrals.take(session, account.id, openid, now))
    if linked is not None:  # they opened that link before they scanned anything
        referrer, _ = bindings.by_scan(
            session, account, person, linked, by_follow, f"{push_key}-link", changes, now, reason="link"
        )  # fmt: skip
        _keep_source(session, person, linked, is_new)
        person = _person(_PERSON_LOCKED(session, account.id, openid).one())
    if scene_code and (linked is None or linked != found):
        scanned, refused = bindings.by_scan(
            session, account, person, found, by_follow, push_key, changes, now
        )
        referrer = scanned or referrer
    _keep_source(session, person, found, is_new)
    if referrer is not None and is_new:
        _reward_registration(session, account, person, changes, now)
    _set_following(session, person.id, True, created, changes)
    changes.write(session)
    refused = None if referrer is not None else refused
    return Touch(
        person.id, person.name, is_new=is_new, referrer=referrer, refused=refused, scene=found
    )


_SOURCE = Sql("UPDATE member SET source_scene_id = ? WHERE id = ? AND source_scene_id IS NULL")


def _keep_source(session: Session, person: Person, found: Found | None, is_new: bool) -> None:
    """The code by which somebody joined, for the statistics of codes; a later code is not where they came from."""
    if is_new and found is not None:
        _SOURCE(session, found.scene_id, person.id)


_REFERRER = Sql("SELECT referrer_id FROM member WHERE id = ?")


def _reward_registration(
    session: Session, account: OpenAccount, person: Person, changes: Changes, now: datetime
) -> None:
    """拉新奖励 for whoever this new follower was just bound to; no statement while it is off."""
    if account.settings.registration_reward_fen:
        registrations.accrue(
            session, account,
            promoter_id=_REFERRER(session, person.id).one().referrer_id,
            joined_id=person.id, joined_name=person.name, changes=changes, now=now,
        )  # fmt: skip


def scan(
    session: Session,
    account: OpenAccount,
    openid: str,
    *,
    scene_code: str,
    created: int,
    push_key: str,
    now: datetime,
) -> Touch:
    """A follower scanned a code (SCAN). Their follow state does not change, but somebody unknown joins as following:
    WeChat reports SCAN of followers only, so their subscribe is still on its way or was lost."""
    found = bindings.look_up(session, account.id, scene_code)
    person, is_new = _join(session, account.id, openid, now)
    if not events.record(
        session,
        account.id,
        push_key,
        events.SCAN,
        _at(created),
        member_id=person.id,
        scene_id=None if found is None else found.scene_id,
        detail=scene_code and scene_code[:190],
    ):
        return Touch(person.id, person.name, repeated=True, scene=found)
    changes = Changes()
    referrer, refused = bindings.by_scan(
        session, account, person, found, is_new, push_key, changes, now
    )
    _keep_source(session, person, found, is_new)
    if is_new:
        _set_following(session, person.id, True, created, changes)
    changes.write(session)
    return Touch(
        person.id, person.name, is_new=is_new, referrer=referrer, refused=refused, scene=found
    )


_BY_CODE = Sql("SELECT id FROM member WHERE account_id = ? AND code = ?")


def enter_code(
    session: Session,
    account: OpenAccount,
    openid: str,
    *,
    code: str,
    created: int,
    push_key: str,
    now: datetime,
) -> Touch:
    """A follower typed a friend's 邀请码: bound by the rules of a scan, refused as `unknown_scene` when nobody has
    it."""
    person, is_new = _join(session, account.id, openid, now)
    if not events.record(
        session, account.id, push_key, events.CODE, _at(created), member_id=person.id, detail=code[:190]
    ):  # fmt: skip
        return Touch(person.id, person.name, repeated=True)
    found = None
    friend = _BY_CODE(session, account.id, code.upper()).one_or_none() if is_key(code) else None
    if friend is not None:
        scene = scenes.of_member(session, account.id, friend.id, now)
        found = bindings.look_up(session, account.id, scene.code)
    changes = Changes()
    referrer, refused = bindings.by_scan(
        session, account, person, found, is_new, push_key, changes, now
    )
    _keep_source(session, person, found, is_new)
    if is_new:
        _set_following(session, person.id, True, created, changes)
    changes.write(session)
    return Touch(
        person.id, person.name, is_new=is_new, referrer=referrer, refused=refused, scene=found
    )


def by_link(
    session: Session,
    account: OpenAccount,
    openid: str,
    *,
    scene_code: str,
    push_key: str,
    now: datetime,
) -> Touch | None:
    """Somebody who is signed in opened a promoter's link: for a follower it is like scanning the code. None for
    everybody else: nobody becomes a member by opening a page, their touch waits until they follow (referrals.py)."""
    row = _PERSON_LOCKED(session, account.id, openid).one_or_none()
    if row is None or not row.following:
        referrals.remember(session, account, openid, scene_code, now)
        return None
    person, found = _person(row), bindings.look_up(session, account.id, scene_code)
    if not events.record(
        session, account.id, push_key, events.LINK, now,
        member_id=person.id, scene_id=None if found is None else found.scene_id, detail=scene_code[:190],
    ):  # fmt: skip
        return Touch(person.id, person.name, repeated=True, scene=found)
    changes = Changes()
    referrer, refused = bindings.by_scan(
        session, account, person, found, False, push_key, changes, now, reason="link"
    )
    changes.write(session)
    return Touch(person.id, person.name, referrer=referrer, refused=refused, scene=found)


def leave(
    session: Session,
    account: OpenAccount,
    openid: str,
    *,
    created: int,
    push_key: str,
    now: datetime,
) -> Touch:
    """A follower unsubscribed: binding and ledger stay, personal data is erased as the platform demands.

    Somebody unknown is stored as gone, so that their subscribe, arriving late, does not make them a follower.
    """
    person, is_new = _join(session, account.id, openid, now)
    if not events.record(
        session, account.id, push_key, events.LEAVE, _at(created), member_id=person.id
    ):
        return Touch(person.id, person.name, repeated=True)
    changes = Changes()
    if _set_following(session, person.id, False, created, changes) or is_new:
        privacy.erase(session, person.id)
    # Also when they have come back since: the push is late, the leaving was not.
    registrations.take_back_for(session, person.id, _at(created), changes, now)
    changes.write(session)
    return Touch(person.id, person.name, is_new=is_new)


CLOCK_SKEW_SECONDS: Final = 60


def found_gone(session: Session, member_id: int, sent_at: datetime) -> bool:
    """WeChat refused a message sent at `sent_at` because the person does not follow: the push that said so was lost or
    is late. Counts as their leaving a minute before, so that their next follow wins although WeChat's clock is not
    ours; whether it was news."""
    changes = Changes()
    left_at = int(sent_at.timestamp()) - CLOCK_SKEW_SECONDS
    gone = _set_following(session, member_id, False, left_at, changes)
    if gone:
        registrations.take_back_for(session, member_id, _at(left_at), changes, sent_at)
        privacy.erase(session, member_id)
        changes.write(session)
    return gone


def _at(created: int) -> datetime:
    return datetime.fromtimestamp(created, UTC)


def _person(row: Any) -> Person:
    return Person(
        row.id, row.code, row.nickname, row.referrer_id, maybe_from_db(row.bound_at), bool(row.following),
        row.follow_changed_at, row.first_paid_at is not None,
    )  # fmt: skip


_JOIN = Sql(
    "INSERT INTO member"
    " (account_id, openid, code, status, grade, promoter, following, follow_changed_at, joined_at, muted)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
CODE_LENGTH: Final = 7
"""32^7 codes an account: a new one is almost never taken, and then another is drawn."""


def _join(session: Session, account_id: int, openid: str, now: datetime) -> tuple[Person, bool]:
    """The member, locked, and whether they are new. Two first pushes at once make one member."""
    while True:
        row = _PERSON_LOCKED(session, account_id, openid).one_or_none()
        if row is not None:
            return _person(row), False
        code = random_code(CODE_LENGTH)
        try:
            new = _JOIN(session, account_id, openid, code, "active", "", "", 0, 0, to_db(now), 0)
        except IntegrityError as error:
            if not is_duplicate(error):
                raise
            continue  # the same follower over another connection, or one code in 34 thousand million
        return Person(new.lastrowid, code, None, None, None, False, 0, False), True


_FOLLOW_STATE = Sql(
    "UPDATE member SET following = ?, follow_changed_at = ?, unfollowed_at = ? WHERE id = ? AND follow_changed_at <= ?"
    " AND following <> ?"
)
_FOLLOW_TIME = Sql("UPDATE member SET follow_changed_at = ? WHERE id = ? AND follow_changed_at < ?")
_UPLINES = Sql("SELECT level, ancestor_id FROM relation WHERE descendant_id = ? ORDER BY level")


def _set_following(
    session: Session, member_id: int, following: bool, created: int, changes: Changes
) -> bool:
    """Follow state goes by the greatest CreateTime, a tie by the later arrival; whether it changed."""
    unfollowed_at = None if following else to_db(_at(created))
    turned = changed(
        _FOLLOW_STATE(session, following, created, unfollowed_at, member_id, created, following)
    )
    if not turned:
        _FOLLOW_TIME(session, created, member_id, created)
        return False
    for row in _UPLINES(session, member_id):
        changes.add(row.ancestor_id, row.level, following=1 if following else -1)
    return True


def found_following(session: Session, member_id: int, at: int) -> bool:
    """WeChat's list of followers named somebody of whom we thought that they had left; `at` in seconds. A later push
    wins; whether it was news."""
    changes = Changes()
    came = _set_following(session, member_id, True, at, changes)
    if came:
        changes.write(session)
    return came


def erase(session: Session, account_id: int, openid: str, *, closed: bool = False) -> None:
    """Erase the personal data of somebody who took back their consent, or `closed` their WeChat account; nothing to do
    when they are no member."""
    person = _PERSON(session, account_id, openid).one_or_none()
    if person is not None:
        privacy.erase(session, person.id, closed=closed)


# --- what a member tells about themselves ---------------------------------------------------------------------------

NICKNAME_LENGTH: Final = 20
_PHONE = re.compile(r"\+?[0-9]{6,20}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


def clean_nickname(text: str) -> str:
    """A name that can be shown anywhere: no controls, no direction overrides, no line breaks, at most 20 characters.
    Raises `Invalid` when nothing visible is left."""
    kept = "".join(
        " " if mark.isspace() else mark
        for mark in text
        if unicodedata.category(mark) not in {"Cc", "Cf", "Co", "Cs"} or mark.isspace()
    )
    name = " ".join(kept.split())[:NICKNAME_LENGTH].strip()
    if not name:
        raise Invalid("the name is empty")
    return name


def set_nickname(session: Session, account_id: int, openid: str, text: str) -> str:
    """Keep the name a member chose; the name as it is shown. Raises `Invalid`, `NotFound`."""
    name = clean_nickname(text)
    query = (
        update(Member)
        .where(Member.account_id == account_id, Member.openid == openid)
        .values(nickname=name)
    )
    if not changed(session.execute(query)):
        raise NotFound("no such member", openid=openid)
    return name


def is_phone(text: str) -> bool:
    """Whether this can be a phone number."""
    return _PHONE.fullmatch(text) is not None


def set_contact(
    session: Session,
    keyring: Keyring,
    member_id: int,
    *,
    phone: str | None = None,
    email: str | None = None,
    real_name: str | None = None,
) -> None:
    """Keep contact data encrypted, with blind indexes for look-up and comparison; None leaves a value as it is.
    Raises `Invalid` for what cannot be a phone number or an address."""
    values: dict[str, Any] = {}
    if phone is not None:
        if not is_phone(phone):
            raise Invalid("not a phone number")
        values["phone"] = keyring.seal(phone, f"member/{member_id}/phone")
        values["phone_index"] = keyring.blind_index(phone, "phone")
    if email is not None:
        if not _EMAIL.fullmatch(email):
            raise Invalid("not a mail address")
        values["email"] = keyring.seal(email, f"member/{member_id}/email")
        values["email_index"] = keyring.blind_index(email.lower(), "email")
    if real_name is not None:
        values["real_name"] = keyring.seal(real_name, f"member/{member_id}/real_name")
        values["real_name_index"] = keyring.blind_index("".join(real_name.split()), "real_name")
    if values and not changed(
        session.execute(update(Member).where(Member.id == member_id).values(**values))
    ):
        raise NotFound("no such member", member=member_id)


def find_by_phone(session: Session, keyring: Keyring, account_id: int, phone: str) -> list[Member]:
    """Members of the account with this phone number, found by its blind index."""
    index = keyring.blind_index(phone, "phone")
    return list(
        session.scalars(
            select(Member).where(Member.account_id == account_id, Member.phone_index == index)
        )
    )


def set_unionid(session: Session, member_id: int, unionid: str) -> None:
    """Keep the unionid that WeChat told of a follower."""
    session.execute(update(Member).where(Member.id == member_id).values(unionid=unionid))


def set_remark(session: Session, member_id: int, remark: str | None) -> None:
    """Keep the merchant's note of who this is."""
    session.execute(update(Member).where(Member.id == member_id).values(remark=remark))


@dataclass(frozen=True, slots=True)
class Greeting:
    """What an answer in the chat must know of a follower: their language (empty: the account's), and whether notices
    wait for them."""

    lang: str
    unread: bool


_GREETING = Sql("SELECT lang, unread FROM member WHERE account_id = ? AND openid = ?")


def greeting(session: Session, account_id: int, openid: str) -> Greeting:
    """How to speak to this follower, in one statement; a stranger is spoken to like everybody."""
    row = _GREETING(session, account_id, openid).one_or_none()
    return Greeting("", False) if row is None else Greeting(row.lang, bool(row.unread))


def set_language(session: Session, account_id: int, openid: str, lang: str) -> None:
    """语言: what the chat, notices and pages say is in `lang` from now on; empty: the account's. Raises `Invalid`,
    `NotFound`."""
    if lang and lang not in LANGUAGES:
        raise Invalid("no such language", lang=lang, languages=list(LANGUAGES))
    query = update(Member).where(Member.account_id == account_id, Member.openid == openid)
    if not changed(session.execute(query.values(lang=lang))):
        raise NotFound("no such member", openid=openid)


def set_muted(session: Session, account_id: int, openid: str, muted: bool) -> None:
    """退订 / 订阅: whether anything is sent, promotions too; the inbox keeps notices all the same."""
    session.execute(
        update(Member)
        .where(Member.account_id == account_id, Member.openid == openid)
        .values(muted=muted, promotions_muted=muted)
    )


def set_promotions_muted(session: Session, account_id: int, openid: str, muted: bool) -> None:
    """退订 活动 / 订阅 活动: whether promotions (broadcasts) are sent; notices are not concerned."""
    session.execute(
        update(Member)
        .where(Member.account_id == account_id, Member.openid == openid)
        .values(promotions_muted=muted)
    )


def link_identity(
    session: Session, account_id: int, member_id: int, app_id: str, openid: str
) -> None:
    """Remember the member's openid in a linked app. One that is linked to somebody else is `Invalid`."""
    query = select(Identity).where(
        Identity.account_id == account_id, Identity.app_id == app_id, Identity.openid == openid
    )
    known = session.scalar(query)
    if known is None:
        session.add(
            Identity(account_id=account_id, app_id=app_id, openid=openid, member_id=member_id)
        )
        session.flush()
    elif known.member_id != member_id:
        raise Invalid("this openid belongs to another member", app_id=app_id)
