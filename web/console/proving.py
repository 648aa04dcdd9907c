"""账本核对与对账: what was proved of the books and when, and what WeChat Pay says of the same payouts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, render_template
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import accounts, reconciliations, tasks
from domain.models import Reconciliation, Task
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, COUNT, INSTANT, MONEY, TEXT, Badge
from web.console.listing import Choice, Column, Listing, Sort
from web.console.navigation import MONEY as MONEY_TOPIC
from web.console.navigation import Menu
from web.console.states import state
from web.console.visit import Answer, Visit, page
from web.pages import grouped

# --- the books ------------------------------------------------------------------------------------------------------

INVARIANTS: Final = (
    (
        ("legal_postings", "positive_postings"),
        Both("分录合法", "Legal postings"),
        Both(
            "每笔分录金额大于零，从一个科目到另一个科目，只走允许的方向；所以全部加起来永远是零。",
            "Each moves an amount above zero from one bucket to another, by a way that exists: the sum is always zero.",
        ),
    ),
    (
        ("causes",),
        Both("有因有果", "Causes"),
        Both(
            "每笔分录都有它的佣金、退款、提现或导入；每件事也都有它的分录，不多不少。",
            "Every posting has its commission, refund, withdrawal or import, and each of those its posting.",
        ),
    ),
    (
        ("balances",),
        Both("余额", "Balances"),
        Both(
            "每位会员的可提现、提现中和冻结，等于自己全部分录之和。",
            "What each member has available, withdrawing and frozen is the sum of their own postings.",
        ),
    ),
    (
        ("order_lines", "plan", "accrual", "registration"),
        Both("计提", "Accruals"),
        Both(
            "每张订单的佣金，正是当时的规则和绑定算出来的：谁、第几级、多少分，一分不差。",
            "Every order has exactly the commissions of its rule and its snapshot: who, which level, how many fen.",
        ),
    ),
    (
        ("order_refunds", "refunds", "clawbacks", "absorbed"),
        Both("退款", "Refunds"),
        Both(
            "每次退款按原比例失效或追回；多次部分退款加起来与一次退完相同；全额退款后一分不剩。",
            "Each took back at the original rate; many partial ones come to one, a full one leaves nothing.",
        ),
    ),
    (
        ("settlement", "status"),
        Both("结算", "Settlements"),
        Both(
            "每笔佣金只结算一次，状态与分录一致；暂缓或失效的不会结算。",
            "Each commission settled once at most, its state is what its postings say; a held or void one never did.",
        ),
    ),
    (
        ("withdrawals",),
        Both("提现", "Withdrawals"),
        Both(
            "每笔提现的预留、打款、手续费、个税和退回，正好是它的状态该有的；打款总额对得上。",
            "What each reserved, paid, withheld and gave back is what its state says, and adds up.",
        ),
    ),
    (
        ("notices",),
        Both("通知", "Notices"),
        Both("每笔佣金都有通知会员的一条记录。", "Every commission has the notice that tells its member."),
    ),
)  # fmt: skip
"""(checks of domain/proof.py, title, what it means)."""

_FIGURES: Final = (
    ("postings", Both("分录", "Postings")),
    ("orders", Both("订单", "Orders")),
    ("commissions", Both("佣金", "Commissions")),
    ("members", Both("会员", "Members")),
    ("withdrawals", Both("提现", "Withdrawals")),
)
PROOFS: Final = 10


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof that ended. `result` is what `proof.Report.as_value` said, or {"error": …}."""

    task: Task
    result: dict[str, Any]

    @property
    def badge(self) -> Badge:
        if "ok" not in self.result:
            return Badge(Both("没有做完", "Not finished"), "secondary")
        if self.result["ok"]:
            return Badge(Both("账本平衡", "The books balance"), "success")
        number = self.result["difference_count"]
        return Badge(Both(f"{number} 处不一致", f"{number} differences"), "danger")

    @property
    def figures(self) -> list[tuple[Both, int]]:
        return [(title, self.result[name]) for name, title in _FIGURES if name in self.result]

    @property
    def differences(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.result.get("differences", [])
        return found

    def wrong(self, checks: tuple[str, ...]) -> int:
        """How many of the differences that it names these checks found."""
        return sum(one["check"] in checks for one in self.differences)


@page(
    "/books",
    allow=Permission.BOOKS_READ,
    menu=Menu(MONEY_TOPIC, Both("账本核对", "Books"), "journal-check", 50),
)
def books(visit: Visit) -> Answer:
    """The last proofs with their figures, what each of them proves, and one running."""

    def look(session: Session) -> tuple[list[Proof], Task | None, bool]:
        ended = tasks.recent(session, None, tasks.BOOKS, PROOFS)
        running = tasks.newest(session, None, tasks.BOOKS, tasks.WAITING, tasks.RUNNING)
        proofs = [Proof(task, tasks.result_of(task)) for task in ended]
        return proofs, running, _sees_all(session, visit)

    proofs, running, sees_all = visit.read(look)
    last = next((one for one in proofs if "ok" in one.result), None)
    return render_template(
        "console/books.html", proofs=proofs, last=last, sees_all=sees_all, invariants=INVARIANTS,
        task=running, badge=None if running is None else state("task", running.state),
        said=lambda value: "–" if value is None else json.dumps(value, ensure_ascii=False),
    )  # fmt: skip


def _sees_all(session: Session, visit: Visit) -> bool:
    """A proof is about the whole installation: its figures and differences are for who works in all of its accounts."""
    theirs = {account.id for account, _ in visit.accounts}
    return visit.person.opens_accounts or {row.id for row in accounts.all_of(session)} <= theirs


@page("/books/prove", allow=Permission.BOOKS_READ, methods=("POST",))
def books_prove(visit: Visit) -> Response:
    """Prove the books now: read everything again, in the background."""
    visit.transact(
        lambda session: tasks.start(session, None, tasks.BOOKS, actor=visit.actor, now=visit.now)
    )
    return redirect(visit.url("books"))


# --- reconciliation with WeChat Pay ---------------------------------------------------------------------------------

KINDS: Final = {
    reconciliations.NUMBERS: Both("逐笔查询", "By number"),
    reconciliations.BILL: Both("资金账单", "By bill"),
}
_FIELDS: Final = {
    "state": Both("转账状态", "State of the transfer"),
    "bill": Both("微信支付没有这笔转账", "WeChat Pay has no such transfer"),
    "bill_row": Both("账单里没有这笔", "Not in the bill"),
    "bill_fen": Both("账单里的金额", "Amount in the bill"),
    "not_ours": Both("账单里有一笔不是我们发起的转账", "A transfer in the bill that is none of ours"),
    "out_bill_no": Both("打款单号", "Payout number"),
    "mch_id": Both("商户号", "Merchant number"),
    "openid": Both("收款人", "Receiver"),
    "amount_fen": Both("金额", "Amount"),
}  # fmt: skip
_AMOUNTS: Final = ("bill_row", "bill_fen", "not_ours", "amount_fen")


def _verdict(row: Reconciliation) -> Badge:
    if row.difference_count:
        number = row.difference_count
        return Badge(Both(f"{number} 处不一致", f"{number} differences"), "danger")
    if row.unanswered:
        return Badge(Both("有的没有答复", "Not all answered"), "warning")
    return Badge(Both("一致", "Agrees"), "success")


RECONCILIATIONS: Final = Listing(
    title=Both("微信支付对账", "Reconciliation"),
    columns=(
        Column(
            Both("日期", "Day"), lambda row: f"{row.day:%Y-%m-%d}", TEXT, lead=True,
            href=lambda visit, row: visit.url("reconciliation", reconciliation_id=row.id),
        ),
        Column(Both("方式", "Way"), lambda row: Badge(KINDS[row.kind], "info"), BADGE),
        Column(Both("结果", "Result"), _verdict, BADGE),
        Column(Both("核对笔数", "Compared"), lambda row: row.compared, COUNT),
        Column(Both("没有答复", "Unanswered"), lambda row: row.unanswered, COUNT),
        Column(Both("打款", "Paid"), lambda row: row.paid_fen, MONEY),
        Column(Both("对账时间", "At"), lambda row: row.at, INSTANT, wide=True),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Reconciliation.id, lambda row: row.id),),
    id_column=Reconciliation.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("kind", Both("方式", "Way"), list(KINDS.items()), Reconciliation.kind),
        Choice(
            "result", Both("结果", "Result"), [("different", Both("有不一致", "Differences"))],
            where=lambda _value: Reconciliation.difference_count > 0,
        ),
    ),
    empty=Both(
        "还没有对过账。有微信打款后每天自动进行：只提醒，不改动账目。",
        "None yet. With payouts through WeChat it runs every day; it alarms and repairs nothing.",
    ),
    file="reconciliations",
    template="console/reconciliations.html",
)  # fmt: skip


@page(
    "/reconciliations",
    allow=Permission.BOOKS_READ,
    menu=Menu(MONEY_TOPIC, Both("微信支付对账", "Reconciliation"), "bank", 60),
)
def reconciliation_list(visit: Visit) -> Answer:
    """What every comparison with WeChat Pay found."""
    rows = select(Reconciliation).where(Reconciliation.account_id == visit.account.id)
    return RECONCILIATIONS.answer(visit, rows)


@page("/reconciliations/<int:reconciliation_id>", allow=Permission.BOOKS_READ)
def reconciliation(visit: Visit, reconciliation_id: int) -> Answer:
    """One comparison with every difference it names."""
    row = visit.read(
        lambda session: reconciliations.get(session, visit.account.id, reconciliation_id)
    )
    return render_template(
        "console/reconciliation.html", row=row, kind=KINDS[row.kind], badge=_verdict(row), fields=_FIELDS,
        differences=json.loads(row.differences), said=_difference_value,
    )  # fmt: skip


def _difference_value(field: str, value: str) -> str:
    """A side of a difference: amounts in yuan, the rest as it was said."""
    if value == "none":
        return str(Both("没有", "none"))
    if field in _AMOUNTS and value.lstrip("-").isdecimal():
        return f"¥{grouped(int(value))}"
    return value
