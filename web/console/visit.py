"""One decorator for a page: who may see it, in which account, as whom.

`@page("/members", allow=Permission.MEMBERS_READ)` answers `/console/<slug>/members` for people whose role in that
account may do so. To everybody else the account does not exist (404); in an account of theirs, a page that is not for
their role says so (403). `allow=SIGNED_IN` and `allow=ANYBODY` are for the few pages outside an account.

Every page is in `ACCESS`; the test of the access matrix is made from it, and fails for a route that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from flask import abort, flash, g, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from context import Context
from domain import accounts, audit, staff
from domain.accounts import OpenAccount
from domain.db import Database
from domain.errors import DomainError, NotFound
from domain.staff.permissions import Permission, may
from domain.staff.sessions import SignedIn
from web.console.blueprint import blueprint
from web.console.both import Both
from web.console.navigation import Menu, remember
from web.console.refusals import said
from web.console.sessions import signed_in
from web.current import context

T = TypeVar("T")
P = ParamSpec("P")
Answer = str | Response | tuple[str, int]


class Everybody:
    """Who may see a page outside an account."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ANYBODY: Final = Everybody("ANYBODY")
"""Also those who have not signed in."""
SIGNED_IN: Final = Everybody("SIGNED_IN")
"""Whoever has signed in, whatever their roles."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks of a visitor."""

    allow: Permission | Everybody
    methods: tuple[str, ...]


ACCESS: Final[dict[str, Access]] = {}
"""Endpoint → who may; filled by `page`."""


class Visit:
    """A request that was let in: by whom, in which account, when. What a view needs, and templates know as `visit`."""

    def __init__(
        self, person: SignedIn | None, account: OpenAccount | None, role: str | None
    ) -> None:
        self._person, self._account, self._role = person, account, role
        self.now: datetime = context().clock.now()

    @property
    def context(self) -> Context:
        """The process's context: clients of WeChat, settings, Redis."""
        return context()

    @property
    def database(self) -> Database:
        return self.context.database

    @property
    def is_signed_in(self) -> bool:
        return self._person is not None

    @property
    def person(self) -> SignedIn:
        """Who it is."""
        assert self._person is not None, "this page is for anybody: nobody need have signed in"  # noqa: S101 # a bug
        return self._person

    @property
    def actor(self) -> str:
        """Who it is, as the audit log says it."""
        return f"staff:{self.person.login}"

    @property
    def has_account(self) -> bool:
        return self._account is not None

    @property
    def account(self) -> OpenAccount:
        """The account that the address names."""
        assert self._account is not None, "this page stands outside an account"  # noqa: S101 # a bug
        return self._account

    @property
    def role(self) -> str:
        """The person's role in this account."""
        return self._role or ""

    def may(self, permission: Permission | str) -> bool:
        """Whether the person may do that here; in templates: `visit.may("members.change")`."""
        return may(self.role, Permission(permission))

    @cached_property
    def accounts(self) -> list[tuple[Any, str]]:
        """The accounts that the person may switch to, with their roles there."""
        return self.read(lambda session: staff.accounts_of(session, self.person.staff_id))

    def url(self, endpoint: str, **values: Any) -> str:
        """The address of a page of the console, in this account."""
        if self._account is not None:
            values.setdefault("slug", self._account.slug)
        return url_for(f"console.{endpoint}", **values)

    def link(self, endpoint: str, **values: Any) -> str | None:
        """The address, or None when there is no such page here or the person may not see it: for numbers that lead to
        their list."""
        access = ACCESS.get(f"console.{endpoint}")
        if access is None or not isinstance(access.allow, Permission) or not self.may(access.allow):
            return None
        return self.url(endpoint, **values)

    def read(self, fn: Callable[[Session], T]) -> T:
        """Run `fn(session)` as a plain read."""
        return self.database.read(fn)

    def transact(self, fn: Callable[[Session], T]) -> T:
        """Run `fn(session)` in one transaction."""
        return self.database.transact(fn)

    def change(self, fn: Callable[[Session], Any], *, done: str, back: str) -> Response:
        """What a button does: `fn` in one transaction, then back to a page that says `done`, or why not."""
        self._try(fn, done)
        return redirect(back)

    def save(
        self, fn: Callable[[Session], Any], *, done: str, back: str, again: Callable[[], Answer]
    ) -> Answer:
        """What a form does: as `change`, but what is refused is shown `again`, as the person wrote it."""
        return redirect(back) if self._try(fn, done) else again()

    def _try(self, fn: Callable[[Session], Any], done: str) -> bool:
        """Run `fn` in one transaction and say `done`, or why not; whether it was done. `NotFound` is a page of its
        own."""
        try:
            self.transact(fn)
        except NotFound:
            raise
        except DomainError as error:
            flash(said(error), "danger")
            return False
        flash(done, "success")
        return True

    def note(
        self, session: Session, *, action: str, subject: str, before: Any = None, after: Any = None
    ) -> None:
        """Write into the account's audit log that this person did it just now."""
        audit.record(
            session, self.account.id, actor=self.actor, action=action, subject=subject, before=before, after=after,
            now=self.now,
        )  # fmt: skip

    def reason(self) -> str:
        """Why, as the person wrote it into a form of the macro `verb`."""
        return request.form.get("reason", "").strip()[:190]


View = Callable[Concatenate[Visit, P], Answer]


def page(
    path: str,
    *,
    allow: Permission | Everybody,
    methods: Sequence[str] = ("GET",),
    menu: Menu | None = None,
) -> Callable[[View[P]], View[P]]:
    """Make a view a page. With a permission, `path` is inside an account and the view's `visit` knows it; `menu` puts
    the page into the sidebar. The endpoint is `console.<name of the view>`."""

    def decorate(view: View[P]) -> View[P]:
        inside = isinstance(allow, Permission)

        @wraps(view)
        def answer(*args: P.args, **kwargs: P.kwargs) -> Answer:
            slug = kwargs.pop("slug", None) if inside else None
            g.visit = _admit(allow, str(slug) if inside else None)
            return view(g.visit, *args, **kwargs)

        rule = f"/<slug>{path}" if inside else path
        blueprint.add_url_rule(rule, view.__name__, answer, methods=list(methods))
        ACCESS[f"console.{view.__name__}"] = Access(allow, tuple(methods))
        if menu is not None and isinstance(allow, Permission):
            remember(menu, view.__name__, allow)
        return view

    return decorate


def _admit(allow: Permission | Everybody, slug: str | None) -> Visit:
    person = signed_in()
    if person is None:
        if allow is not ANYBODY:
            abort(_to_login())
        return Visit(None, None, None)
    if not isinstance(allow, Permission):
        return Visit(person, None, None)
    account, role = context().database.read(
        lambda session: _theirs(session, person.staff_id, slug or "")
    )
    if not may(role, allow):
        abort(403)
    return Visit(person, account, role)


def _theirs(session: Session, staff_id: int, slug: str) -> tuple[OpenAccount, str]:
    """The account and the person's role in it; somebody else's account is like none."""
    row = accounts.find(session, slug)
    role = None if row is None else staff.role_in(session, staff_id, row.id)
    if row is None or role is None:
        raise NotFound("no such account", slug=slug)
    return accounts.unseal(row, context().keyring), role


def _to_login() -> Response:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("console.login", next=wanted))


def local(address: str | None, otherwise: str) -> str:
    """The address if it leads to a page of the console, and nowhere else."""
    safe = address is not None and address.startswith("/console/") and address.isprintable()
    return address if safe and address is not None and "\\" not in address else otherwise


ROLES: Final = {
    staff.OWNER: Both("所有者", "Owner"),
    staff.FINANCE: Both("财务", "Finance"),
    staff.OPERATOR: Both("运营", "Operator"),
    staff.SUPPORT: Both("客服", "Support"),
}
