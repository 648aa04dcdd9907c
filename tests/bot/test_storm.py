"""Ten thousand pushes, repeated, reordered, with a fault in every twentieth: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any, Final

import pytest
from sqlalchemy import func, select
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

import spooled
from bot import handlers, push, spool
from bot.visit import Visit
from domain import members, scenes, tally
from domain.models import BindingHistory, Event, Member, Relation
from tests.bot.chat import Chat, event_xml

SEED: Final = 20261122
PUSHES: Final = 10_000
PROMOTERS: Final = 12
PEOPLE: Final = 1200
THREADS: Final = 6
STARTED_AT: Final = 1_700_000_000
FAULTS: Final = 0.05
REPEATS: Final = 0.10


@dataclass(frozen=True)
class Said:
    """One push of the storm."""

    openid: str
    event: str
    created: int
    code: str = ""

    @property
    def xml(self) -> str:
        key = f"qrscene_{self.code}" if self.event == "subscribe" and self.code else self.code
        return event_xml(self.openid, self.event, self.created, EventKey=key)

    @property
    def identity(self) -> tuple[object, ...]:
        return (self.openid, self.event, self.created, self.code)


def _storm(codes: Sequence[str], pushes: int) -> list[Said]:
    """People who follow, scan and leave, mostly by codes of promoters; shuffled within a window, a tenth repeated."""
    dice = random.Random(SEED)
    people = [f"person-{number:04d}" for number in range(PEOPLE)]
    made: list[Said] = []
    for number in range(round(pushes / (1 + REPEATS))):
        event = dice.choices(["subscribe", "SCAN", "unsubscribe"], [5, 3, 2])[0]
        code = dice.choice(codes) if event != "unsubscribe" and dice.random() < 0.8 else ""
        if event == "SCAN" and not code:
            code = "NOSUCHCODE"
        # Several pushes of one person share a second now and then, as they do in life.
        made.append(Said(dice.choice(people), event, STARTED_AT + number // 4, code))
    late = sorted(range(len(made)), key=lambda at: at + dice.random() * 400)
    arriving = [made[at] for at in late]
    arriving += dice.choices(arriving, k=pushes - len(arriving))
    repeats_late = sorted(range(pushes), key=lambda at: (at % len(made)) + dice.random() * 300)
    return [arriving[at] for at in repeats_late]


# --- the model ------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What should be so, told in thirty lines: first committed touch wins; the follow state goes by the greatest
    CreateTime, a tie by the later arrival; a repeat is nothing."""

    owners: dict[str, str]
    referrer: dict[str, str] = field(default_factory=dict)
    following: dict[str, bool] = field(default_factory=dict)
    changed_at: dict[str, int] = field(default_factory=dict)
    seen: set[tuple[object, ...]] = field(default_factory=set)

    def apply(self, said: Said) -> None:
        if said.identity in self.seen:
            return
        self.seen.add(said.identity)
        is_new = said.openid not in self.following
        owner = self.owners.get(said.code)
        if owner is not None and owner != said.openid and said.event != "unsubscribe":
            self.referrer.setdefault(said.openid, owner)
        if said.event == "SCAN" and not is_new:
            return
        if said.created >= self.changed_at.get(said.openid, 0):
            self.following[said.openid] = said.event != "unsubscribe"
            self.changed_at[said.openid] = said.created

    def apply_all(self, committed: Sequence[Said]) -> Model:
        for said in committed:
            self.apply(said)
        return self


# --- the real thing -------------------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """The order in which pushes of each person were committed: what "first committed" means."""

    committed: list[Said] = field(default_factory=list)
    applied: Counter[tuple[object, ...]] = field(default_factory=Counter)
    faults: int = 0
    _lock: Any = field(default_factory=Lock)
    _people: dict[str, Any] = field(default_factory=dict)

    def person(self, openid: str) -> Any:
        with self._lock:
            return self._people.setdefault(openid, Lock())


@contextmanager
def _watched(ledger: Ledger, dice: random.Random) -> Generator[None]:
    """Handlers that fail now and then, before or after their commit, and that write down what they committed.

    Pushes of one person are let in one at a time (the row lock would order them anyway), so that the order that is
    written down is the order of the commits.
    """

    def watch(handler: Callable[[Visit], Any]) -> Callable[[Visit], Any]:
        def watched(visit: Visit) -> Any:
            with ledger.person(visit.push.openid):
                fault = dice.random()
                if visit.deadline is not None and fault < FAULTS / 2:
                    ledger.faults += 1
                    raise RuntimeError("before the commit")
                answer = handler(visit)
                code = visit.push.scene_code or ""
                event = {"scan": "SCAN"}.get(visit.push.event, visit.push.event)
                ledger.committed.append(Said(visit.push.openid, event, visit.push.created, code))
                if visit.deadline is not None and fault < FAULTS:
                    ledger.faults += 1
                    raise RuntimeError("after the commit")
                return answer

        return watched

    with pytest.MonkeyPatch.context() as patch:
        for name in ("on_subscribe", "on_scan", "on_unsubscribe"):
            patch.setattr(handlers, name, watch(getattr(handlers, name)))
        yield


def _promoters(chat: Chat) -> dict[str, str]:
    """Code → openid of people whose codes are scanned."""
    names = [f"person-{number:04d}" for number in range(PROMOTERS)]
    now = chat.context.clock.now()

    def work(session: Session) -> dict[str, str]:
        codes = {}
        for name in names:
            touch = members.follow(
                session, chat.tea, name, scene_code=None, created=STARTED_AT - 1, push_key=f"seed-{name}", now=now
            )  # fmt: skip
            codes[scenes.of_member(session, chat.tea.id, touch.member_id, now).code] = name
        return codes

    return chat.do(work)


def _weather(chat: Chat, pushes: int) -> tuple[Ledger, dict[str, str], list[Said]]:
    """The storm itself, and the replay after it."""
    owners = _promoters(chat)
    storm = _storm(sorted(owners), pushes)
    ledger = Ledger()
    threads = 1 if chat.context.database.is_sqlite else THREADS
    with _watched(ledger, random.Random(SEED)), ThreadPoolExecutor(threads) as pool:
        statuses = Counter(
            reply.status for reply in pool.map(lambda one: chat.push(one.xml), storm)
        )
        assert statuses == {200: pushes}
        for _ in range(spool.TRIES):
            if not spool.replay(chat.context).waiting:
                break
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 0
    assert spooled.parked(chat.context.settings.data.dir) == []
    return ledger, owners, storm


def _assert_as_the_model_says(
    chat: Chat, ledger: Ledger, owners: dict[str, str], storm: list[Said]
) -> None:
    model = Model(owners)
    for name in owners.values():
        model.following[name] = True
        model.changed_at[name] = STARTED_AT - 1
    model.apply_all(ledger.committed)
    assert {said.identity for said in storm} == model.seen  # nothing was lost

    def look(session: Session) -> tuple[dict[str, bool], dict[str, str], int, Counter[Any]]:
        people = {row.id: row for row in session.scalars(select(Member))}
        following = {row.openid: bool(row.following) for row in people.values()}
        referrer = {
            row.openid: people[row.referrer_id].openid
            for row in people.values()
            if row.referrer_id is not None
        }
        events = session.scalar(
            select(func.count(Event.id)).where(Event.kind.in_(["follow", "scan", "leave"]))
        )
        history = Counter(session.scalars(select(BindingHistory.member_id)))
        return following, referrer, events or 0, history

    following, referrer, events, history = chat.context.database.read(look)
    assert following == model.following
    assert referrer == _without_cycles(model, ledger, owners)
    assert events == len(model.seen) + PROMOTERS  # one event each, however often it came
    assert set(history.values()) <= {1}


def _without_cycles(model: Model, ledger: Ledger, owners: dict[str, str]) -> dict[str, str]:
    """First committed touch wins, unless it would close a circle: then a later one may."""
    referrer: dict[str, str] = {}
    seen: set[tuple[object, ...]] = set()
    for said in ledger.committed:
        owner = owners.get(said.code)
        if said.identity in seen or owner is None or said.event == "unsubscribe":
            continue
        seen.add(said.identity)
        if said.openid not in referrer and not _is_above(referrer, said.openid, owner):
            referrer[said.openid] = owner
    assert referrer.keys() <= model.referrer.keys()
    return referrer


def _is_above(referrer: dict[str, str], person: str, start: str) -> bool:
    climbing: str | None = start
    while climbing is not None:
        if climbing == person:
            return True
        climbing = referrer.get(climbing)
    return False


def _assert_figures_agree(chat: Chat) -> None:
    """The closure follows from the referrers, and the figures from the closure."""
    while chat.do(tally.fold):
        pass

    def look(session: Session) -> None:
        people = {row.id: row for row in session.scalars(select(Member))}
        teams: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for row in session.scalars(select(Relation)):
            teams[row.ancestor_id, row.level].add(row.descendant_id)
        wanted: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for person in people.values():
            above, level = person.referrer_id, 1
            while above is not None and level <= 3:
                wanted[above, level].add(person.id)
                above, level = people[above].referrer_id, level + 1
        assert teams == wanted
        for member_id in {member_id for member_id, _ in wanted}:
            summary = members.summary(session, chat.tea.id, people[member_id].openid)
            assert summary is not None
            for level, figures in summary.levels.items():
                team = [people[one] for one in wanted[member_id, level]]
                assert figures.people == len(team)
                assert figures.following == sum(one.following for one in team)

    chat.context.database.read(look)


@pytest.fixture
def live_chat(live_chat: Chat) -> Chat:
    """Without waiting for the disk at each commit of SQLite: nobody pulls the plug here."""
    if live_chat.context.database.is_sqlite:

        def hurry(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        listen(live_chat.context.database.engine, "connect", hurry)
        live_chat.context.database.dispose()
    return live_chat


def test_ten_thousand_pushes_end_as_the_model_says(live_chat: Chat) -> None:
    ledger, owners, storm = _weather(live_chat, PUSHES)
    assert ledger.faults > PUSHES * FAULTS / 2
    _assert_as_the_model_says(live_chat, ledger, owners, storm)
    _assert_figures_agree(live_chat)


def test_the_storm_would_notice_pushes_without_keys(
    live_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weather over a product that forgets what it has done: the comparison must fail."""
    numbers = count()
    monkeypatch.setattr(push, "_key", lambda *_: f"key-{next(numbers)}")
    ledger, owners, storm = _weather(live_chat, PUSHES // 10)
    with pytest.raises(AssertionError):
        _assert_as_the_model_says(live_chat, ledger, owners, storm)


def test_the_storm_would_notice_a_lost_push(
    live_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weather over a product whose spool is a waste-paper basket."""
    monkeypatch.setattr(spooled, "keep", lambda *_: None)
    ledger, owners, storm = _weather(live_chat, PUSHES // 10)
    with pytest.raises(AssertionError):
        _assert_as_the_model_says(live_chat, ledger, owners, storm)
