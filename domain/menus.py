"""菜单 as data: versions that are saved, pushed to WeChat and compared with what WeChat has. What WeChat accepts is
wechat/menu.py's to say; this module knows what a menu is to us: buttons whose keys somebody answers.

A menu is one document: `{"buttons": […], "conditional": [{"name", "tag_id"?, "platform"?, "buttons": […]}, …]}`. Of the
conditional menus that fit a follower the last one is shown. No buttons at all means: no menu.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit
from domain.china import bounds
from domain.db import Sql, changed, is_duplicate, to_db, to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.menu import default_menu
from domain.models import MenuVersion
from domain.replies import KeywordTable
from domain.spoken import COMMAND_OF
from domain.texts import Words

LARGEST_BYTES: Final = 60_000
"""A `Text` of the database; WeChat's own limits are far below it."""
MOST_CONDITIONAL: Final = 50
STATISTIC_DAYS: Final = 31


@dataclass(frozen=True, slots=True)
class Conditional:
    """A menu for followers with a tag, or on one kind of phone (ios, android, others), or both."""

    name: str
    tag_id: int | None
    platform: str | None
    buttons: tuple[Mapping[str, Any], ...]

    @property
    def rule(self) -> tuple[int | None, str | None]:
        return self.tag_id, self.platform


@dataclass(frozen=True, slots=True)
class Menu:
    """The default menu and the conditional ones, the later stronger."""

    buttons: tuple[Mapping[str, Any], ...]
    conditional: tuple[Conditional, ...] = ()

    def as_value(self) -> dict[str, Any]:
        """The document, as JSON values."""
        return {
            "buttons": [dict(button) for button in self.buttons],
            "conditional": [
                {
                    "name": each.name,
                    "tag_id": each.tag_id,
                    "platform": each.platform,
                    "buttons": [dict(button) for button in each.buttons],
                }
                for each in self.conditional
            ],
        }


def usual(pages: str = "") -> Menu:
    """What a new account starts with; `pages` is where its pages are, empty for a menu without them."""
    return Menu(tuple(default_menu(pages)))


def parse(value: Any) -> Menu:
    """The menu of a document from outside. Raises `Invalid` for what has another shape."""
    if not isinstance(value, Mapping) or set(value) - {"buttons", "conditional"}:
        raise Invalid("a menu has buttons and conditional menus, and nothing else")
    conditional = value.get("conditional") or []
    if not isinstance(conditional, list) or len(conditional) > MOST_CONDITIONAL:
        raise Invalid(f"conditional menus are a list of at most {MOST_CONDITIONAL}")
    menu = Menu(_buttons(value.get("buttons") or []), tuple(map(_conditional, conditional)))
    if menu.conditional and not menu.buttons:
        raise Invalid("conditional menus need a default menu")
    if len(to_json(menu.as_value()).encode()) > LARGEST_BYTES:
        raise Invalid(f"a menu has at most {LARGEST_BYTES} bytes")
    return menu


def _buttons(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise Invalid("buttons are a list of objects")
    return tuple(value)


def _conditional(value: Any) -> Conditional:
    names = {"name", "tag_id", "platform", "buttons"}
    if not isinstance(value, Mapping) or set(value) - names:
        raise Invalid("a conditional menu has a name, tag_id, platform and buttons")
    name, tag, platform = value.get("name"), value.get("tag_id"), value.get("platform") or None
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 60:
        raise Invalid("a conditional menu has a name of 1 to 60 characters")
    if tag is not None and (not isinstance(tag, int) or isinstance(tag, bool) or tag < 0):
        raise Invalid("tag_id is the number of a tag", name=name)
    if platform not in {None, "ios", "android", "others"}:
        raise Invalid("platform is ios, android or others", name=name)
    if tag is None and platform is None:
        raise Invalid("a conditional menu is for a tag or a platform", name=name)
    return Conditional(name.strip(), tag, platform, _buttons(value.get("buttons")))


# --- versions -------------------------------------------------------------------------------------------------------


def newest(session: Session, account_id: int) -> MenuVersion | None:
    """The version that was saved last, pushed or not."""
    query = select(MenuVersion).where(MenuVersion.account_id == account_id)
    return session.scalar(query.order_by(MenuVersion.version.desc()).limit(1))


def get(session: Session, account_id: int, version: int) -> MenuVersion:
    """One version, or `NotFound`."""
    query = select(MenuVersion).where(
        MenuVersion.account_id == account_id, MenuVersion.version == version
    )
    row = session.scalar(query)
    if row is None:
        raise NotFound("no such version of the menu", version=version)
    return row


def menu_of(row: MenuVersion | None, pages: str = "") -> Menu:
    """The menu of a version; the usual one, which leads to `pages`, before any was saved."""
    return usual(pages) if row is None else parse(json.loads(row.menu))


def history(session: Session, account_id: int, limit: int = 20) -> list[MenuVersion]:
    """Versions, newest first: who saved them when, and who pushed them when."""
    query = select(MenuVersion).where(MenuVersion.account_id == account_id)
    return list(session.scalars(query.order_by(MenuVersion.version.desc()).limit(limit)))


def save(
    session: Session, account_id: int, menu: Menu, *, after: int, actor: str, now: datetime, note: str = ""
) -> MenuVersion:  # fmt: skip
    """Save the next version. `after` is the version that was edited, 0 for the first: `Conflict` when somebody saved
    another one meanwhile. A draft may break WeChat's limits; pushing one may not."""
    before = newest(session, account_id)
    known = before.version if before else 0
    if known != after:
        raise Conflict("somebody saved another version meanwhile", version=known)
    row = MenuVersion(
        account_id=account_id, version=known + 1, menu=to_json(menu.as_value()), note=note[:190] or None, actor=actor,
        created_at=now,
    )  # fmt: skip
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        raise Conflict("somebody saved another version meanwhile", version=known + 1) from error
    audit.record(
        session, account_id, actor=actor, action="menu_saved", subject=f"menu/{row.version}", now=now,
        before=json.loads(before.menu) if before else None, after=menu.as_value(),
    )  # fmt: skip
    return row


def pushed(
    session: Session, account_id: int, version: int, menu_ids: Sequence[int], *, actor: str, now: datetime
) -> None:  # fmt: skip
    """Note that WeChat has this version now, and what it calls the conditional menus."""
    query = update(MenuVersion).where(
        MenuVersion.account_id == account_id, MenuVersion.version == version
    )
    values = {"menu_ids": to_json(list(menu_ids)), "pushed_by": actor, "pushed_at": now}
    if not changed(session.execute(query.values(**values))):
        raise NotFound("no such version of the menu", version=version)
    audit.record(
        session, account_id, actor=actor, action="menu_pushed", subject=f"menu/{version}", now=now,
        after={"menu_ids": list(menu_ids)},
    )  # fmt: skip


# --- keys -----------------------------------------------------------------------------------------------------------


def leaves(buttons: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, button) of every button that does something: `button[0].sub_button[2]`."""
    for index, top in enumerate(buttons):
        below = top.get("sub_button")
        if not below:
            yield f"button[{index}]", top
            continue
        for number, each in enumerate(below if isinstance(below, list) else []):
            if isinstance(each, Mapping):
                yield f"button[{index}].sub_button[{number}]", each


@dataclass(frozen=True, slots=True)
class Silent:
    """A button whose key nobody answers: the follower would read our fallback."""

    where: str
    name: str
    key: str


def silent_keys(menu: Menu, table: KeywordTable) -> list[Silent]:
    """The buttons that are neither a command nor one of the merchant's replies."""
    found = []
    documents = [("", menu.buttons)]
    documents += [
        (f"conditional[{index}].", each.buttons) for index, each in enumerate(menu.conditional)
    ]
    for prefix, buttons in documents:
        for where, button in leaves(buttons):
            key = button.get("key")
            if button.get("type") not in {"click", "scancode_waitmsg"} or not isinstance(key, str):
                continue
            if key.strip().casefold() not in COMMAND_OF and table.click(key.strip()) is None:
                found.append(Silent(f"{prefix}{where}", str(button.get("name", "")), key))
    return found


def never_shown(menu: Menu) -> list[str]:
    """Names of conditional menus that a later one with the same rule hides from everybody."""
    last = {each.rule: index for index, each in enumerate(menu.conditional)}
    return [each.name for index, each in enumerate(menu.conditional) if last[each.rule] != index]


# --- comparing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same: `kind` missing (WeChat does not have it), extra (only WeChat has it) or changed.
    `where` is a path in the document; `name` what people call the button or menu; ours and theirs are JSON values."""

    kind: str
    where: str
    name: str
    ours: Any = None
    theirs: Any = None

    def text(self, words: Words) -> str:
        """The difference in words."""
        return words(
            f"menu.{self.kind}", name=self.name, ours=_shown(self.ours), theirs=_shown(self.theirs)
        )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = [f"{name} {_shown(each)}" for name, each in sorted(value.items())]
        return "，".join(parts)
    if isinstance(value, list | tuple):
        return "、".join(_shown(each) for each in value)
    return "" if value is None else str(value)


def diff(ours: Menu, theirs: Menu) -> list[Difference]:
    """What WeChat's menu would have to become; empty when they are the same. Conditional menus are compared by their
    rules, and by their order, because the later ones win."""
    found = list(_diff_buttons(ours.buttons, theirs.buttons, ""))
    mine = {each.rule: each for each in ours.conditional}
    have = {each.rule: each for each in theirs.conditional}
    for rule, each in mine.items():
        where = f"conditional[{ours.conditional.index(each)}]"
        if rule not in have:
            found.append(Difference("missing", where, each.name))
        else:
            found += _diff_buttons(each.buttons, have[rule].buttons, f"{where}.", each.name)
    found += [
        Difference("extra", f"conditional[{index}]", each.name)
        for index, each in enumerate(theirs.conditional)
        if each.rule not in mine
    ]
    order = [rule for rule in mine if rule in have]
    their_order = [rule for rule in have if rule in mine]
    if order != their_order:
        names = ([mine[rule].name for rule in each] for each in (order, their_order))
        found.append(Difference("order", "conditional", "", *names))
    return found


def _diff_buttons(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], prefix: str, menu: str = ""
) -> Iterator[Difference]:  # fmt: skip
    for index in range(max(len(ours), len(theirs))):
        where = f"{prefix}button[{index}]"
        mine = ours[index] if index < len(ours) else None
        have = theirs[index] if index < len(theirs) else None
        yield from _diff_one(mine, have, where, menu)


def _diff_one(
    mine: Mapping[str, Any] | None, have: Mapping[str, Any] | None, where: str, menu: str
) -> Iterator[Difference]:
    name = " · ".join(part for part in (menu, str((mine or have or {}).get("name", ""))) if part)
    if have is None:
        yield Difference("missing", where, name, plain_button(mine or {}))
        return
    if mine is None:
        yield Difference("extra", where, name, None, plain_button(have))
        return
    own, other = plain_button(mine), plain_button(have)
    fields = sorted(own.keys() | other.keys())
    different = [each for each in fields if own.get(each) != other.get(each)]
    if different:
        yield Difference(
            "changed", where, name,
            {each: own[each] for each in different if each in own},
            {each: other[each] for each in different if each in other},
        )  # fmt: skip
    below = (mine.get("sub_button") or [], have.get("sub_button") or [])
    for number in range(max(map(len, below))):
        pair = [each[number] if number < len(each) else None for each in below]
        yield from _diff_one(pair[0], pair[1], f"{where}.sub_button[{number}]", name)


def plain_button(button: Mapping[str, Any]) -> dict[str, Any]:
    """A button without those below it and without what WeChat adds: empty fields, and the type of a mere heading."""
    fields = {name: value for name, value in button.items() if value not in (None, "", [], {})}
    if fields.pop("sub_button", None):
        fields.pop("type", None)
    return fields


def same_buttons(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two menus show and do the same."""
    return next(_diff_buttons(ours, theirs, ""), None) is None


# --- statistics -----------------------------------------------------------------------------------------------------

_TAPS = Sql(
    "SELECT kind, detail, COUNT(*) AS taps, COUNT(DISTINCT member_id) AS people FROM event"
    " WHERE account_id = ? AND kind IN ('click', 'view') AND at >= ? AND at < ? GROUP BY kind, detail"
)


@dataclass(frozen=True, slots=True)
class Taps:
    """How often a key was tapped, or a page opened from the menu, on one Beijing day, and by how many members."""

    day: date
    kind: str
    key: str
    taps: int
    people: int


def taps(session: Session, account_id: int, first: date, last: date) -> list[Taps]:
    """Taps by day and key, from the events; `Invalid` for more than `STATISTIC_DAYS` days. One range of the index a
    day, so no engine has to know Beijing."""
    days = (last - first).days + 1
    if not 1 <= days <= STATISTIC_DAYS:
        raise Invalid(f"1 to {STATISTIC_DAYS} days", days=days)
    found = []
    for number in range(days):
        day = first + timedelta(days=number)
        since, until = bounds(day)
        rows = _TAPS(session, account_id, to_db(since), to_db(until))
        found += [Taps(day, row.kind, row.detail or "", row.taps, row.people) for row in rows]
    return sorted(found, key=lambda each: (each.day, -each.taps, each.key))
