"""自动回复: what the merchant wants answered, to certain words, to menu buttons, to a follow, and to all the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from domain import audit, bodies, patterns, spoken, uploads
from domain.bodies import Body, TextBody
from domain.db import changed
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Reply
from domain.patterns import Pattern, TooSlow
from domain.texts import LANGUAGES

EXACT: Final = "exact"
CONTAINS: Final = "contains"
REGEX: Final = "regex"
MATCHINGS: Final = (EXACT, CONTAINS, REGEX)

KEYWORD: Final = "keyword"
CLICK: Final = "click"
SUBSCRIBE: Final = "subscribe"
DEFAULT: Final = "default"
KINDS: Final = (KEYWORD, CLICK, SUBSCRIBE, DEFAULT)

LIMIT: Final = 500
"""Replies of one account: all of them are looked through for every text that is no command."""
REGEX_LIMIT: Final = 20
"""Patterns of one account: each may cost a text `patterns.MATCH_SECONDS`."""
KEYWORD_LENGTH: Final = 60
KEY_BYTES: Final = 128
"""A menu key (wechat/menu.py)."""
PRIORITIES: Final = range(-1000, 1001)


@dataclass(frozen=True, slots=True)
class Rule:
    """One reply as it is used. `number` is its row, 0 for one that is not stored. `variants`: what is said instead to
    those who read another language, by language."""

    number: int
    kind: str
    matching: str
    keyword: str
    messages: tuple[Body, ...]
    priority: int = 0
    enabled: bool = True
    variants: Mapping[str, tuple[Body, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Reply) -> Rule:
        """The rule of a row; one of an earlier release has one text and no JSON."""
        messages = bodies.of_json(row.messages) if row.messages else [TextBody(row.body)]
        return cls(
            row.id, row.kind or KEYWORD, row.matching, row.keyword, tuple(messages), row.priority or 0,
            row.enabled is not False, bodies.variants_of_json(row.variants),
        )  # fmt: skip

    def said_in(self, lang: str) -> tuple[Body, ...]:
        """The messages for somebody who reads `lang`."""
        return self.variants.get(lang, self.messages)


def plain(text: str) -> str:
    """How keywords are compared: without blanks around, whatever the case."""
    return text.strip().casefold()


Rank = tuple[int, int, int, str]


class KeywordTable:
    """An account's replies, ready to be searched. The higher priority wins; among equals exact goes before contains
    before a pattern, and the longer keyword before the shorter. Threads share it."""

    def __init__(
        self, rules: Iterable[Rule | Reply] = (), media: Mapping[int, uploads.Known] | None = None
    ) -> None:
        self._exact: dict[str, Rule] = {}
        self._contained: list[tuple[Rank, str, Rule]] = []
        self._patterns: list[tuple[Rank, Pattern, Rule]] = []
        self._clicks: dict[str, Rule] = {}
        self._others: dict[str, Rule] = {}
        self.media: Mapping[int, uploads.Known] = MappingProxyType(dict(media or {}))
        """The files that these replies show, with what WeChat calls them now."""
        self.timeouts: Counter[int] = Counter()
        """By rule: texts on which its pattern was stopped, since this table was made."""
        for each in rules:
            rule = Rule.of(each) if isinstance(each, Reply) else each
            if rule.enabled:
                self._put(rule)
        self._contained.sort(key=lambda item: item[0])
        self._patterns.sort(key=lambda item: item[0])

    def _put(self, rule: Rule) -> None:
        if rule.kind == KEYWORD and rule.matching == REGEX:
            self._put_pattern(rule)
        elif rule.kind == KEYWORD and rule.matching == CONTAINS:
            self._contained.append((_rank(rule), plain(rule.keyword), rule))
        elif rule.kind == KEYWORD:
            self._keep(self._exact, plain(rule.keyword), rule)
        elif rule.kind == CLICK:
            self._keep(self._clicks, rule.keyword, rule)
        else:
            self._keep(self._others, rule.kind, rule)

    def _put_pattern(self, rule: Rule) -> None:
        """A pattern that a new release of the library refuses answers nothing; it must not take the account along."""
        try:
            self._patterns.append((_rank(rule), patterns.compiled(rule.keyword), rule))
        except Invalid:
            self.timeouts[rule.number] += 1

    @staticmethod
    def _keep(table: dict[str, Rule], key: str, rule: Rule) -> None:
        if key not in table or _rank(rule) < _rank(table[key]):
            table[key] = rule

    def find(self, text: str) -> Rule | None:
        """The merchant's answer to this text."""
        said = plain(text)
        best = self._exact.get(said)
        rank = None if best is None else _rank(best)
        for each, keyword, rule in self._contained:
            if rank is not None and each > rank:
                break
            if keyword in said:
                best, rank = rule, each
                break
        for each, pattern, rule in self._patterns:
            if rank is not None and each > rank:
                break
            if self._matches(pattern, text, rule):
                return rule
        return best

    def _matches(self, pattern: Pattern, text: str, rule: Rule) -> bool:
        try:
            return patterns.matches(pattern, text)
        except TooSlow:
            self.timeouts[rule.number] += 1
            return False

    def click(self, key: str) -> Rule | None:
        """The merchant's answer to this menu key; a key that is a keyword is answered as if it had been typed."""
        return self._clicks.get(key) or self.find(key)

    @property
    def welcome(self) -> Rule | None:
        """What is said to a new follower."""
        return self._others.get(SUBSCRIBE)

    @property
    def default(self) -> Rule | None:
        """What is said when nothing else fits."""
        return self._others.get(DEFAULT)


def _rank(rule: Rule) -> Rank:
    return (-rule.priority, MATCHINGS.index(rule.matching), -len(plain(rule.keyword)), rule.keyword)


def table_of(session: Session, account_id: int) -> KeywordTable:
    """The account's replies with the files they show, in two statements."""
    rows = [Rule.of(row) for row in all_of(session, account_id)]
    return KeywordTable(rows, uploads.known(session, account_id))


# --- changing -------------------------------------------------------------------------------------------------------


def put(
    session: Session,
    account_id: int,
    keyword: str,
    messages: str | Sequence[Body],
    matching: str = EXACT,
    *,
    kind: str = KEYWORD,
    priority: int = 0,
    enabled: bool = True,
    variants: Mapping[str, Sequence[Body]] | None = None,
) -> Reply:
    """Add a reply, or replace the one of this kind, matching and keyword. A text alone is one message.

    Raises `Invalid`, also when the account has `LIMIT` of them, and for a pattern that is wrong or slow.
    """
    said = [TextBody(messages.strip())] if isinstance(messages, str) else list(messages)
    others = {lang: tuple(each) for lang, each in (variants or {}).items()}
    rule = Rule(0, kind, matching, keyword.strip(), tuple(said), priority, enabled, others)
    check(session, account_id, rule)
    row = _same(session, account_id, rule)
    return _add(session, account_id, rule) if row is None else _written(session, row, rule)


def create(session: Session, account_id: int, rule: Rule) -> Reply:
    """Add a reply. Raises `Invalid`, and `Conflict` when the account has one of that kind, matching and keyword."""
    rule = replace(rule, keyword=rule.keyword.strip())
    check(session, account_id, rule)
    twin = _same(session, account_id, rule)
    if twin is not None:
        raise Conflict("another reply has this keyword", reply=twin.id)
    return _add(session, account_id, rule)


def _add(session: Session, account_id: int, rule: Rule) -> Reply:
    _check_room(session, account_id, rule.matching)
    row = Reply(account_id=account_id)
    session.add(row)
    return _written(session, row, rule)


def _same(session: Session, account_id: int, rule: Rule) -> Reply | None:
    """The account's reply of this kind, matching and keyword."""
    return session.scalar(
        select(Reply).where(
            Reply.account_id == account_id, Reply.kind == rule.kind, Reply.matching == rule.matching,
            Reply.keyword == rule.keyword,
        )
    )  # fmt: skip


def change(session: Session, account_id: int, reply_id: int, rule: Rule) -> Reply:
    """Make another reply of this one. Raises `Invalid`, `NotFound`, and `Conflict` when the account has one of that
    kind, matching and keyword already."""
    row = get(session, account_id, reply_id)
    rule = replace(rule, keyword=rule.keyword.strip())
    check(session, account_id, rule)
    twin = _same(session, account_id, rule)
    if twin is not None and twin.id != reply_id:
        raise Conflict("another reply has this keyword", reply=twin.id)
    if rule.matching == REGEX and row.matching != REGEX:
        _check_room(session, account_id, REGEX, more=0)
    return _written(session, row, rule)


def _written(session: Session, row: Reply, rule: Rule) -> Reply:
    first = rule.messages[0]
    row.kind, row.keyword, row.matching = rule.kind, rule.keyword, rule.matching
    row.body = first.text if isinstance(first, TextBody) else ""
    row.messages = bodies.as_json(rule.messages)
    row.variants = bodies.variants_as_json(rule.variants)
    row.priority, row.enabled, row.timeouts = rule.priority, rule.enabled, 0
    session.flush()
    return row


def _check_room(session: Session, account_id: int, matching: str, more: int = 1) -> None:
    counts = dict(
        session.execute(
            select(Reply.matching, func.count(Reply.id))
            .where(Reply.account_id == account_id)
            .group_by(Reply.matching)
        ).all()
    )
    if sum(counts.values()) + more > LIMIT:
        raise Invalid(f"an account has at most {LIMIT} replies", limit=LIMIT)
    if matching == REGEX and counts.get(REGEX, 0) >= REGEX_LIMIT:
        raise Invalid(f"an account has at most {REGEX_LIMIT} patterns", limit=REGEX_LIMIT)


def check(session: Session, account_id: int, rule: Rule) -> None:
    """`Invalid` for what cannot be a reply of this account."""
    if rule.kind not in KINDS or rule.matching not in MATCHINGS:
        raise Invalid("no such kind of reply", kind=rule.kind, matching=rule.matching)
    if rule.kind != KEYWORD and rule.matching != EXACT:
        raise Invalid("only keywords are contained or matched", kind=rule.kind)
    if rule.priority not in PRIORITIES:
        raise Invalid("a priority is -1000 to 1000", priority=rule.priority)
    _check_keyword(rule)
    to_events = rule.kind in {CLICK, SUBSCRIBE}
    most = bodies.ARTICLES_TO_EVENTS if to_events else bodies.ARTICLES_TO_MESSAGES
    unknown = sorted(set(rule.variants) - set(LANGUAGES))
    if unknown:
        raise Invalid("no such language", lang=unknown[0], languages=list(LANGUAGES))
    for messages in (rule.messages, *rule.variants.values()):
        bodies.check(messages, most_articles=most)
        uploads.check_present(session, account_id, messages)


def _check_keyword(rule: Rule) -> None:
    keyword = rule.keyword
    if rule.kind in {SUBSCRIBE, DEFAULT}:
        if keyword:
            raise Invalid("this reply has no keyword", kind=rule.kind)
    elif rule.kind == CLICK:
        if not 1 <= len(keyword.encode()) <= KEY_BYTES:
            raise Invalid(f"a menu key has 1 to {KEY_BYTES} bytes")
    elif rule.matching == REGEX:
        patterns.check(keyword)
    elif not 1 <= len(keyword) <= KEYWORD_LENGTH:
        raise Invalid(f"a keyword has 1 to {KEYWORD_LENGTH} characters", keyword=keyword[:190])


def switch(session: Session, account_id: int, reply_id: int, enabled: bool) -> None:
    """Turn a reply on or off, or `NotFound`."""
    get(session, account_id, reply_id).enabled = enabled
    session.flush()


def remove(session: Session, account_id: int, reply_id: int) -> None:
    """Delete a reply of this account, or `NotFound`."""
    query = delete(Reply).where(Reply.account_id == account_id, Reply.id == reply_id)
    if not changed(session.execute(query)):
        raise NotFound("no such reply", reply=reply_id)


def get(session: Session, account_id: int, reply_id: int, *, lock: bool = False) -> Reply:
    """A reply of this account, or `NotFound`. `lock`: nobody else changes it until the transaction ends."""
    row = session.get(Reply, reply_id, with_for_update=lock)
    if row is None or row.account_id != account_id:
        raise NotFound("no such reply", reply=reply_id)
    return row


def one_of_kind(session: Session, account_id: int, kind: str) -> Reply | None:
    """The account's reply to a follow, or to what nothing else answers: there is one of these at most."""
    return session.scalar(select(Reply).where(Reply.account_id == account_id, Reply.kind == kind))


def all_of(session: Session, account_id: int) -> list[Reply]:
    """The account's replies by keyword."""
    query = select(Reply).where(Reply.account_id == account_id)
    return list(session.scalars(query.order_by(Reply.kind, Reply.keyword, Reply.id)))


def as_value(row: Reply) -> dict[str, Any]:
    """A reply as JSON values, for lists and for the audit."""
    rule = Rule.of(row)
    return {
        "id": row.id, "kind": rule.kind, "keyword": rule.keyword, "matching": rule.matching,
        "messages": bodies.as_values(rule.messages),
        "variants": {lang: bodies.as_values(each) for lang, each in rule.variants.items()},
        "priority": rule.priority, "enabled": rule.enabled, "timeouts": row.timeouts or 0,
    }  # fmt: skip


def note(
    session: Session, account_id: int, *, actor: str, action: str, before: Any, after: Any, now: datetime
) -> None:  # fmt: skip
    """Who changed which reply: `action` is reply_added, reply_changed or reply_removed."""
    known = after or before
    audit.record(
        session, account_id, actor=actor, action=action, subject=f"reply/{known['id']}", before=before, after=after,
        now=now,
    )  # fmt: skip


def add_timeouts(session: Session, counts: Mapping[int, int]) -> None:
    """Count texts on which patterns were stopped, for the merchant to see which pattern it was."""
    for number, count in sorted(counts.items()):
        query = update(Reply).where(Reply.id == number)
        session.execute(query.values(timeouts=Reply.timeouts + count))


# --- choosing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who answers: a command of the chat by its name, with its argument, or one of the replies, or nobody but our own
    fallback."""

    command: str
    argument: str
    rule: Rule | None


def choose(table: KeywordTable, said: str, *, tapped: bool) -> Chosen:
    """Who answers this text (`tapped`: this menu key), which has no blanks around it. The chat and the console both ask
    here."""
    found = spoken.find(said)
    if found is not None:
        return Chosen(*found, None)
    rule = table.click(said) if tapped else table.find(said)
    return Chosen("", "", rule or table.default)


@dataclass(frozen=True, slots=True)
class Trial:
    """Who would answer, and which other replies would if that one were not there, those that are off too."""

    chosen: Chosen
    others: tuple[Rule, ...]


def try_text(session: Session, account_id: int, text: str, *, tapped: bool = False) -> Trial:
    """Which rule answers this text (`tapped`: this menu key), and which others fit it. Changes nothing."""
    said = text.strip()
    rules = [Rule.of(row) for row in all_of(session, account_id)]
    chosen = choose(KeywordTable(rules), said, tapped=tapped)
    return Trial(
        chosen, tuple(each for each in rules if each != chosen.rule and _fits(each, said, tapped))
    )


def _fits(rule: Rule, said: str, tapped: bool) -> bool:
    """Whether this rule would answer if it were the only one."""
    alone = KeywordTable([replace(rule, enabled=True)])
    return (alone.click(said) if tapped else alone.find(said)) is not None
