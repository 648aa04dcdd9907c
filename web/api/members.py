"""会员: who they came by, their team, and what they earn."""

from __future__ import annotations

from flask import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import commissions, members, orders, statements
from domain.db import is_duplicate
from domain.errors import Invalid
from web.api import answers, paging, shapes
from web.api.blueprint import MEMBERS, answer, api, refusals
from web.api.signature import caller, needs
from web.current import context


@api.get("/members/<openid>", tags=[MEMBERS], responses={"200": shapes.Member, **refusals(404)})
@needs("members.read")
def get_member(path: shapes.MemberPath) -> Response:
    """A member with their team
    Referrer, three uplines, balances, and for each level and in total: people, still following, buyers, orders, spent,
    refunded, earned. Answered in constant time, however large the team."""
    account = caller().account
    return answer(
        context().database.read(lambda session: answers.member(session, account.id, path.openid))
    )


@api.get(
    "/members/<openid>/downline",
    tags=[MEMBERS],
    responses={"200": shapes.Downline, **refusals(404)},
)
@needs("members.read")
def list_downline(path: shapes.MemberPath, query: shapes.DownlinePage) -> Response:
    """The people of one level below a member
    In the order in which they joined."""
    account = caller().account
    after = paging.decode_id(query.cursor) or 0

    def read(session: Session) -> shapes.Downline:
        member = members.get(session, account.id, path.openid)
        rows = members.downline(
            session, member.id, query.level, after_id=after, limit=query.limit + 1
        )
        shown, cursor = paging.page(rows, query.limit, lambda row: row.id)
        items = [answers.downline_member(row) for row in shown]
        return shapes.Downline(level=query.level, items=items, next_cursor=cursor)

    return answer(context().database.read(read))


@api.get(
    "/members/<openid>/commissions",
    tags=[MEMBERS],
    responses={"200": shapes.MemberCommissions, **refusals(404)},
)
@needs("members.read")
def list_commissions(path: shapes.MemberPath, query: shapes.Page) -> Response:
    """What a member earned
    Newest first: commissions of orders and registration rewards, each with its state."""
    account = caller().account
    before = paging.decode_id(query.cursor)

    def read(session: Session) -> shapes.MemberCommissions:
        member = members.get(session, account.id, path.openid)
        rows = commissions.of_member(session, member.id, before_id=before, limit=query.limit + 1)
        shown, cursor = paging.page(rows, query.limit, lambda row: row.id)
        numbers = orders.numbers_of(session, {row.order_id for row in shown if row.order_id})
        items = [answers.member_commission(row, numbers) for row in shown]
        return shapes.MemberCommissions(items=items, next_cursor=cursor)

    return answer(context().database.read(read))


@api.get(
    "/members/<openid>/statement",
    tags=[MEMBERS],
    responses={"200": shapes.Statement, **refusals(404)},
)
@needs("members.read")
def list_statement(path: shapes.MemberPath, query: shapes.Page) -> Response:
    """A member's statement
    Every posting, newest first, with the balances after it and the order, refund or payout it belongs to."""
    account = caller().account
    before = paging.decode_id(query.cursor)

    def read(session: Session) -> shapes.Statement:
        member = members.get(session, account.id, path.openid)
        rows = statements.page(session, member.id, before_id=before, limit=query.limit + 1)
        shown, cursor = paging.page(rows, query.limit, lambda row: row.id)
        items = [answers.statement_line(row) for row in shown]
        return shapes.Statement(items=items, next_cursor=cursor)

    return answer(context().database.read(read))


@api.put(
    "/members/<openid>/identities/<appid>",
    tags=[MEMBERS],
    responses={"200": shapes.Identity, **refusals(404)},
)
@needs("members.write")
def link_identity(path: shapes.IdentityPath, body: shapes.IdentityIn) -> Response:
    """Link a member's openid in a mini program
    Orders may then name the buyer by `appid` and that `openid`; those that waited for this buyer are given
    to the member at once. The mini program must be in the account's `linked_apps`."""
    account, now = caller().account, context().clock.now()
    if path.appid not in account.settings.linked_apps:
        raise Invalid("this app is not linked to the account", appid=path.appid)

    def link(session: Session) -> int:
        member = members.get(session, account.id, path.openid)
        members.link_identity(session, account.id, member.id, path.appid, body.openid)
        return orders.attach_waiting(session, account, member, now)

    try:
        attached = context().database.transact(link)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        attached = context().database.transact(link)  # linked meanwhile: now it is seen
    return answer(
        shapes.Identity(
            openid=path.openid, appid=path.appid, linked_openid=body.openid,
            orders_attached=attached,
        )
    )  # fmt: skip
