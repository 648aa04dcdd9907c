"""WeChat Pay's notices. 200 means that what it says is committed; anything else makes WeChat Pay tell us again.

https://pay.weixin.qq.com/doc/v3/merchant/4012712115
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, current_app, jsonify, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge

from domain import accounts, audit, merchants, payouts, withdrawals
from domain.accounts import OpenAccount
from domain.errors import Busy, NotFound
from domain.merchants import OpenMerchant
from domain.payouts import ProviderNews
from domain.secrets import Unreadable
from domain.withdrawals import WrongState
from web.current import context
from wechat import pay
from wechat.pay import NotGenuine, PayNotice, Transfer

PREFIX: Final = "/pay"

blueprint = Blueprint("pay", __name__, url_prefix=PREFIX)


@blueprint.post("/<slug>/notify")
def notify(slug: str) -> tuple[Response, int]:
    """A notice about one of the account's transfers."""
    request.max_content_length = pay.NOTICE_BYTES  # also of a body that does not say how long it is
    try:
        account, merchant = _owner(slug)
        client = context().till(account, merchant)
        notice = pay.read_notice(
            client, dict(request.headers), request.get_data(), context().clock.now()
        )
        if notice.original_type != pay.TRANSFER_NOTICE:
            raise NotGenuine(f"not about a transfer: {ascii(notice.original_type)[:40]}")
        transfer = notice.transfer()
    except NotFound:
        return _fail(404, "no such merchant")
    except RequestEntityTooLarge:
        return _fail(413, "too long")
    except NotGenuine as error:
        current_app.logger.warning("notice refused at %s: %s", slug, error)
        return _fail(401, "not accepted")
    except (Unreadable, ValueError):
        current_app.logger.exception("the keys of %s cannot be used", slug)
        return _fail(500, "not configured")
    except (DBAPIError, Busy):
        current_app.logger.exception("a notice to %s has to come again", slug)
        return _fail(503, "busy")
    return _taken(account, notice, transfer)


def _owner(slug: str) -> tuple[OpenAccount, OpenMerchant]:
    keyring = context().keyring

    def read(session: Session) -> tuple[OpenAccount, OpenMerchant]:
        account = accounts.unseal(accounts.get(session, slug), keyring)
        return account, merchants.get(session, keyring, account.id)

    return context().database.read(read)


def _taken(account: OpenAccount, notice: PayNotice, transfer: Transfer) -> tuple[Response, int]:
    """Commit what a genuine notice says, if it is about a payout of ours and agrees with it."""
    now = context().clock.now()

    def take(session: Session) -> str | None:
        """What is wrong; None when the notice is in the books."""
        row = payouts.find_by_payout_no(session, transfer.out_bill_no)
        if row is None or row.account_id != account.id or row.terms is None:
            audit.record(
                session, account.id, actor="system", action="payout_alarm",
                subject=f"payout/{transfer.out_bill_no[:64]}", after={"alarm": "unknown_number", "notice": notice.id},
                now=now,
            )  # fmt: skip
            return "unknown number"
        payout = payouts.payout_of(session, row)
        problem = payouts.mismatch(
            payout,
            number=transfer.out_bill_no,
            mch_id=transfer.mch_id,
            openid=transfer.openid,
            amount_fen=transfer.amount_fen,
            complete=True,
        )
        if problem is not None:
            withdrawals.sound_by_id(session, account.id, row.id, "mismatch", now, **problem)
            return "it does not agree with our order"
        news = ProviderNews(
            transfer.state, transfer.transfer_bill_no, None, transfer.fail_reason, transfer.created_at
        )  # fmt: skip
        try:
            payouts.record_news(session, account, row.id, news, now)
        except WrongState as error:
            withdrawals.sound_by_id(
                session, account.id, row.id, "contradiction", now,
                said=transfer.state, ours=error.details.get("status"),
            )  # fmt: skip
            return "it contradicts what was recorded"
        return None

    try:
        problem = context().database.transact(take)
    except (DBAPIError, Busy):
        current_app.logger.exception("notice %s has to come again", notice.id)
        return _fail(503, "busy")
    if problem is not None:
        current_app.logger.error("payout alarm at %s: %s (%s)", account.slug, problem, notice.id)
        return _fail(400, problem)
    return jsonify(code="SUCCESS"), 200


def _fail(status: int, message: str) -> tuple[Response, int]:
    return jsonify(code="FAIL", message=message), status
