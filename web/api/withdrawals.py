"""提现: what members asked for, and where it is."""

from __future__ import annotations

from flask import Response
from sqlalchemy.orm import Session

from domain import withdrawals
from web.api import answers, paging, shapes
from web.api.blueprint import WITHDRAWALS, answer, api
from web.api.signature import caller, needs
from web.current import context


@api.get("/withdrawals", tags=[WITHDRAWALS], responses={"200": shapes.Withdrawals})
@needs("withdrawals.read")
def list_withdrawals(query: shapes.WithdrawalPage) -> Response:
    """Withdrawals of all members
    In the order in which they were asked for; of one status, or all."""
    account = caller().account
    after = paging.decode_id(query.cursor) or 0

    def read(session: Session) -> shapes.Withdrawals:
        rows = withdrawals.queue(
            session, account.id, query.status, after_id=after, limit=query.limit + 1
        )
        shown, cursor = paging.page(rows, query.limit, lambda found: found[0].id)
        items = [answers.withdrawal(row, openid) for row, openid in shown]
        return shapes.Withdrawals(items=items, next_cursor=cursor)

    return answer(context().database.read(read))
