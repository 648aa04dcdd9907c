"""What the console and `flask menu` do with menus: check, push, fetch, compare. The only place where our document and
WeChat's calls meet.

https://developers.weixin.qq.com/doc/service/api/custommenu/api_createcustommenu
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from context import Context
from domain import menus, replies
from domain.accounts import OpenAccount
from domain.errors import DomainError
from domain.menus import Conditional, Difference, Menu
from domain.models import MenuVersion
from wechat import api, conditional
from wechat.client import PlatformClient
from wechat.menu import MenuProblem, menu_problems

SILENT: Final = "answers_nothing"
NEVER_SHOWN: Final = "never_shown"
WARNINGS: Final = frozenset({SILENT, NEVER_SHOWN})
"""Problems of which WeChat knows nothing: the menu can be pushed all the same."""


class MenuRefused(DomainError):
    """The menu breaks WeChat's limits, so it was not pushed; `details["problems"]` says where."""

    code = "menu_refused"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: conditional menus made and deleted, and WeChat's numbers of all of them, in order."""

    version: int
    added: int
    deleted: int
    menu_ids: tuple[int, ...]


def problems(session: Session, account_id: int, menu: Menu) -> list[MenuProblem]:
    """Everything that is wrong with a menu: what WeChat would refuse, and then what nobody would understand."""
    found = menu_problems(menu.buttons) if menu.buttons else []
    for index, each in enumerate(menu.conditional):
        prefix = f"conditional[{index}]."
        found += [
            MenuProblem(prefix + one.where, one.code, one.limit)
            for one in menu_problems(each.buttons)
        ]
    if found:
        return found  # what follows reads the buttons
    found += conditional.domain_problems([each.buttons for each in menu.conditional])
    table = replies.table_of(session, account_id)
    found += [MenuProblem(f"{each.where}.key", SILENT) for each in menus.silent_keys(menu, table)]
    hidden = set(menus.never_shown(menu))
    found += [
        MenuProblem(f"conditional[{index}]", NEVER_SHOWN)
        for index, each in enumerate(menu.conditional)
        if each.name in hidden and each.rule in {later.rule for later in menu.conditional[index + 1 :]}
    ]  # fmt: skip
    return found


def fetch(client: PlatformClient, known: Menu | None = None) -> Menu:
    """The menu that WeChat has; no buttons when it has none. Names of conditional menus are ours (`known`)."""
    found = api.find_menu(client)
    if found is None:
        return Menu(())
    names = {each.rule: each.name for each in (known.conditional if known else ())}
    return Menu(
        found.buttons,
        tuple(
            Conditional(
                names.get((each.tag_id, each.platform), f"#{each.menu_id}"), each.tag_id, each.platform, each.buttons
            )
            for each in conditional.conditional_of(found.conditional)
        ),
    )  # fmt: skip


def menu_of(context: Context, account: OpenAccount, row: MenuVersion | None) -> Menu:
    """The menu of a version; before any was saved, the usual one with buttons that open the account's pages."""
    return menus.menu_of(row, f"{context.settings.server.public_url}/m/{account.slug}")


def compare(context: Context, account: OpenAccount) -> list[Difference]:
    """The version saved last against what WeChat has."""
    ours = menu_of(context, account, context.database.read(lambda s: menus.newest(s, account.id)))
    return menus.diff(ours, fetch(context.platform(account), ours))


def push(
    context: Context, account: OpenAccount, *, actor: str, version: int | None = None
) -> Pushed:
    """Give WeChat the version (the one saved last); the usual menu is saved first where there is none.

    Raises `MenuRefused` before anything is sent, `NotFound`, and what WeChat says. Conditional menus cannot be edited,
    so those from the first difference on are deleted and made again, in order. A push that broke off is repeated.
    """
    row = context.database.transact(lambda session: _version(session, context, account, actor, version))  # fmt: skip
    menu = menus.menu_of(row)
    found = context.database.read(lambda session: problems(session, account.id, menu))
    hard = [each for each in found if each.code not in WARNINGS]
    if hard:
        raise MenuRefused("WeChat would refuse this menu", problems=[str(each) for each in hard])
    client = context.platform(account)
    if not menu.buttons:
        api.delete_menu(client)
        done = Pushed(row.version, 0, 0, ())
    else:
        api.create_menu(client, menu.buttons)
        done = _push_conditional(client, menu, row.version)
    now = context.clock.now()
    context.database.transact(
        lambda session: menus.pushed(
            session, account.id, row.version, done.menu_ids, actor=actor, now=now
        )
    )
    return done


def _version(
    session: Session, context: Context, account: OpenAccount, actor: str, version: int | None
) -> Any:
    if version is not None:
        return menus.get(session, account.id, version)
    row = menus.newest(session, account.id)
    if row is None:
        row = menus.save(
            session,
            account.id,
            menu_of(context, account, None),
            after=0,
            actor=actor,
            now=context.clock.now(),
        )
    return row


def _push_conditional(client: PlatformClient, menu: Menu, version: int) -> Pushed:
    found = api.find_menu(client)
    have = conditional.conditional_of(found.conditional) if found else []
    same = 0
    for ours, theirs in zip(menu.conditional, have, strict=False):
        alike = ours.rule == (theirs.tag_id, theirs.platform)
        if not alike or not menus.same_buttons(ours.buttons, theirs.buttons):
            break
        same += 1
    for each in have[same:]:
        conditional.delete_conditional_menu(client, each.menu_id)
    ids = [each.menu_id for each in have[:same]]
    for ours in menu.conditional[same:]:
        ids.append(
            conditional.add_conditional_menu(
                client, ours.buttons, tag_id=ours.tag_id, platform=ours.platform
            )
        )
    return Pushed(version, len(menu.conditional) - same, len(have) - same, tuple(ids))


def delete(context: Context, account: OpenAccount, *, actor: str) -> Pushed:
    """Save a version without buttons and push it: WeChat shows no menu, and the earlier versions stay in history."""

    def save(session: Session) -> int:
        before = menus.newest(session, account.id)
        after = before.version if before else 0
        now = context.clock.now()
        return menus.save(session, account.id, Menu(()), after=after, actor=actor, now=now).version

    version = context.database.transact(save)
    return push(context, account, actor=actor, version=version)
