"""`flask merchant …` and `flask withdrawal …`: money that leaves, by an operator's hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import IO, Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, merchants, payouts, withdrawals
from domain.accounts import OpenAccount
from domain.models import Withdrawal
from web.cli import ACTOR, Failed, account_of, account_option, form
from web.current import context
from wechat import pay
from wechat.errors import OutcomeUnknown

by_option = click.option("--by", "actor", required=True, help="Who decides, for the record.")

_FIELDS: Final = (
    "id", "payout_no", "method", "amount_fen", "fee_fen", "tax_fen", "status", "round", "reason", "proof",
    "provider_state", "provider_bill_no", "confirm_by", "alarm", "requested_at", "decided_at", "finished_at",
)  # fmt: skip

# --- the merchant number --------------------------------------------------------------------------------------------

merchant = AppGroup("merchant", help="WeChat Pay merchants (商户号).")


@merchant.command("set")
@account_option
@click.option("--mch-id", required=True)
@click.option("--serial-no", required=True, help="Of the merchant's API certificate.")
@click.option("--private-key-file", required=True, type=click.File("r"), help="apiclient_key.pem")
@click.option("--api-v3-key-file", required=True, type=click.File("r"), help="32 characters.")
@click.option("--public-key-id", required=True, help="PUB_KEY_ID_…, of WeChat Pay's public key.")
@click.option("--public-key-file", required=True, type=click.File("r"), help="pub_key.pem")
@click.option("--scene", "scene_id", default=merchants.COMMISSION_SCENE, show_default=True)
@click.option("--report", "reports", multiple=True, metavar="KIND=TEXT", help="As the scene wants.")
@form
def set_merchant(
    slug: str,
    private_key_file: IO[str],
    api_v3_key_file: IO[str],
    public_key_file: IO[str],
    reports: tuple[str, ...],
    **given: Any,
) -> dict[str, Any]:
    """Give an account its merchant number. The keys are tried before they are kept; nobody is called."""
    infos = [_report(text) for text in reports] or merchants.COMMISSION_INFOS
    secrets = {
        "private_key": private_key_file.read().strip(),
        "api_v3_key": api_v3_key_file.read().strip(),
        "public_key": public_key_file.read().strip(),
    }
    keyring, now = context().keyring, context().clock.now()

    def put(session: Session) -> dict[str, Any]:
        account = accounts.unseal(accounts.get(session, slug), keyring)
        merchants.put(
            session, keyring, account.id, report_infos=infos, actor=ACTOR, now=now, **secrets, **given
        )  # fmt: skip
        opened = merchants.get(session, keyring, account.id)
        try:
            till = context().till(account, opened)
        except ValueError as error:
            raise Failed(str(error)) from error
        return {
            "account": slug,
            "mch_id": opened.mch_id,
            "scene": opened.scene_id,
            "notify_url": till.notify_url,
        }

    return context().database.transact(put)


def _report(text: str) -> tuple[str, str]:
    kind, separator, content = text.partition("=")
    if not separator:
        raise click.UsageError(f"{text!r} is not KIND=TEXT")
    return kind, content


# --- withdrawals ----------------------------------------------------------------------------------------------------

withdrawal = AppGroup("withdrawal", help="Withdrawals (提现).")


@withdrawal.command("list")
@account_option
@click.option("--status", type=click.Choice(withdrawals.STATUSES))
@click.option("--alarm", "alarmed", is_flag=True, help="Only those that a person has to look at.")
@click.option("--after", default=0, help="Rows after this id.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@form
def list_withdrawals(
    slug: str, status: str | None, alarmed: bool, after: int, limit: int
) -> dict[str, Any]:
    """Withdrawals by id."""

    def read(session: Session) -> list[dict[str, Any]]:
        account_id = accounts.get(session, slug).id
        if alarmed:
            return [_shown(row) for row in withdrawals.alarms(session, account_id, limit)]
        rows = withdrawals.queue(session, account_id, status, after_id=after, limit=limit)
        return [{**_shown(row), "openid": openid} for row, openid in rows]

    return {"withdrawals": context().database.read(read)}


Act = Callable[..., dict[str, Any]]


def decision(name: str, *options: Callable[[Any], Any]) -> Callable[[Act], Act]:
    """`flask withdrawal NAME --account S ID --by WHO` and the options: the function does it in one transaction, called
    with the session, the account, the id, the actor, the time and what the options gave; its answer is printed."""

    def register(act: Act) -> Act:
        @wraps(act)
        def run(slug: str, number: int, actor: str, **given: Any) -> dict[str, Any]:
            now = context().clock.now()
            return context().database.transact(
                lambda session: act(
                    session, account_of(session, slug), number, actor=actor, now=now, **given
                )
            )

        command: Any = form(run)
        number = click.argument("number", type=int, metavar="ID")
        for option in (account_option, number, by_option, *options):
            command = option(command)
        withdrawal.command(name)(command)
        return act

    return register


@decision("approve")
def approve(session: Session, account: OpenAccount, number: int, **how: Any) -> dict[str, Any]:
    """One person's yes; above the account's second limit it takes two different people."""
    return _shown(withdrawals.approve(session, account, number, **how))


@decision("reject", click.option("--reason", required=True, help="The member reads it."))
def reject(session: Session, account: OpenAccount, number: int, **how: Any) -> dict[str, Any]:
    """A person's no; the money is available again."""
    return _shown(withdrawals.reject(session, account, number, **how))


@decision(
    "pay-offline", click.option("--proof", required=True, help="The receipt's number or address.")
)
def pay_offline(session: Session, account: OpenAccount, number: int, **how: Any) -> dict[str, Any]:
    """An approved withdrawal was paid by bank."""
    return _shown(payouts.pay_offline(session, account, number, **how))


@decision("give-up", click.option("--reason", required=True, help="For the record."))
def give_up(session: Session, account: OpenAccount, number: int, **how: Any) -> dict[str, Any]:
    """End a payout that WeChat Pay will never take (NO_AUTH, PARAM_ERROR, …). Nothing is sent under its number any
    more. The clock's sweep ends it, and the money returns, only when WeChat Pay says after five minutes that there is
    no such bill, or that it is FAIL or CANCELLED."""
    row = payouts.give_up(session, account, number, **how)
    return {**_shown(row), "giving_up_at": row.giving_up_at, "asked_again_at": row.ask_at}


@decision("silence")
def silence(session: Session, account: OpenAccount, number: int, **how: Any) -> dict[str, Any]:
    """The alarm of a withdrawal has been looked at."""
    return {"id": number, "was_on": withdrawals.silence(session, account, number, **how)}


@withdrawal.command("cancel")
@account_option
@click.argument("number", type=int, metavar="ID")
@by_option
@form
def cancel(slug: str, number: int, actor: str) -> dict[str, Any]:
    """Ask WeChat Pay to take back a transfer that nobody has confirmed. The money is available again when WeChat Pay
    says CANCELLED, which the clock's sweep learns."""
    now = context().clock.now()

    def note(session: Session) -> tuple[OpenAccount, merchants.OpenMerchant, str]:
        account = account_of(session, slug)
        row = payouts.note_cancel(session, account, number, actor=actor, now=now)
        return account, merchants.get(session, context().keyring, account.id), row.payout_no

    account, opened, payout_no = context().database.transact(note)
    try:
        state = pay.cancel_transfer(context().till(account, opened), payout_no)
    except (pay.PayRefused, OutcomeUnknown) as error:
        raise Failed(f"WeChat Pay: {error}") from error
    return {"id": number, "payout_no": payout_no, "state": state}


def _shown(row: Withdrawal) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FIELDS}


COMMANDS: Final = (merchant, withdrawal)
