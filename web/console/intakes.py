"""导入: orders as a table for shops without API, and another system's members, tree and balances.

What is uploaded is checked first, by a task that writes nothing; a person looks at what would happen and decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final

from flask import Response as FlaskResponse
from flask import abort, flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from domain import intake, order_sheets, sheets, tasks
from domain.errors import DomainError, Invalid
from domain.imports.sources import COMMISSIONS, ORDERS, PEOPLE, RELATIONS
from domain.imports.staging import SOURCE
from domain.models import Intake, Task
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import Badge
from web.console.navigation import TRADE, Menu
from web.console.refusals import explain, said
from web.console.states import state
from web.console.visit import Answer, Visit, page
from web.pages import grouped, t, thousands

for _message, _words in {
    "one to ten files that are not empty": Both(
        "请选择 1 到 10 个非空的文件。", "Choose one to ten files that are not empty."
    ),
    "a table is named like orders.csv": Both(
        "文件名认不出来，请按说明命名。", "A file's name is not known. See the note."
    ),
    "the files are too large": Both("文件太大，请分几次导入。", "The files are too large: upload them in parts."),
    "the tables are not checked yet": Both("还在检查，请稍等。", "They are still being checked."),
    "the tables were written already": Both("已经导入过了。", "They were written already."),
    "rows would be left out": Both("有行会被跳过，请先勾选同意。", "Rows would be left out: confirm that first."),
    "the uploaded files are gone": Both("文件已删除，请重新上传。", "The files are gone. Upload them again."),
    "a source is named by up to 32 of a-z, 0-9 and -": Both(
        "来源名为最多 32 位小写字母、数字或 -。", "A source is named by up to 32 of a-z, 0-9 and -."
    ),
}.items():  # fmt: skip
    explain(_message, _words)

KINDS: Final = {
    intake.ORDERS: Both("订单表格", "Order table"),
    intake.TAKEOVER: Both("从其他系统迁移", "Takeover"),
}
PROBLEMS: Final = {
    "row_refused": Both("行填得不对", "Row not right"),
    "order_refused": Both("订单不对", "Order not right"),
    "order_conflict": Both("订单已有，内容不同", "Known, with other content"),
    "no_key": Both("没有编号", "No key"),
    "person_refused": Both("会员填得不对", "Member not right"),
    "duplicate_person": Both("会员重复", "Member occurs twice"),
    "relation_differs": Both("推荐关系互相矛盾", "Relations differ"),
    "orphan": Both("推荐人不在文件里", "The referrer is not there"),
    "cycle": Both("推荐关系成环", "Their own upline"),
    "commission_refused": Both("佣金填得不对", "Commission not right"),
    "commission_of_nobody": Both("佣金的会员不在文件里", "Commission of nobody"),
}
REASONS: Final = {
    "an order has a number and a time of payment": Both("缺订单号或付款时间", "no number or no time of payment"),
    "an amount is missing": Both("缺实付金额", "no amount"),
    "not an amount in whole fen": Both("金额最多两位小数", "more than two decimals"),
    "not an amount": Both("金额看不懂", "not an amount"),
    "not an instant": Both("时间看不懂", "not a date"),
    "rows of one order name different buyers or times": Both(
        "同一订单的买家或时间不一致", "different buyers or times in one order"
    ),
    "a quantity is a whole number from 1": Both("数量不对", "not a quantity"),
    "a time is in the future": Both("时间在将来", "a time in the future"),
    "the buyer needs an openid or a unionid": Both("缺买家 openid", "no buyer"),
    "an amount or a quantity is out of range": Both("金额超出范围", "an amount out of range"),
    "a number or a name has 1 to 64 ASCII characters": Both(
        "订单号或 openid 有不能用的字符", "odd characters in a number or an openid"
    ),
    "known already, with other content": Both("已有同号订单，内容不同，保持不变", "the known order stays as it is"),
}  # fmt: skip
"""Why a row was refused, in words, longer sentences first; what is not here shows itself."""
FAILURES: Final = {
    "columns are missing": Both("表格缺少必要的列，请对照示例。", "Columns are missing: compare with the example."),
    "a table has at most 20000 rows": Both("一个表格最多 20000 行，请分开上传。", "A table has at most 20000 rows."),
    "neither UTF-8 nor GB 18030": Both("文件编码认不出来，请另存为 CSV UTF-8。", "Save it as CSV UTF-8."),
    "not a CSV file": Both("这不是 CSV 文件。", "This is not a CSV file."),
    "no table of people": Both("文件里没有会员表。", "There is no table of members."),
}  # fmt: skip

FIGURES: Final = {
    "orders": Both("新订单", "New orders"),
    "goods_fen": Both("商品金额", "Goods"),
    "commissions": Both("佣金笔数", "Commissions"),
    "commissions_fen": Both("佣金", "Commission"),
    "unknown_buyers": Both("买家还没关注", "Buyers unknown"),
    "repeats": Both("已有的订单", "Known orders"),
    "people": Both("会员", "Members"),
    "without_openid": Both("没有 openid", "Without openid"),
    "balances": Both("余额笔数", "Balances"),
    "balance_fen": Both("余额", "Balance"),
    "orders_fen": Both("历史订单金额", "Past orders"),
    "bound": Both("推荐关系", "Referrers"),
}
"""What of an outcome is shown, in this order; other figures are left to the file of the audit log."""


@page(
    "/imports",
    allow=Permission.ORDERS_CHANGE,
    menu=Menu(TRADE, Both("导入", "Imports"), "box-arrow-in-down", 30),
)
def intake_list(visit: Visit) -> Answer:
    """Upload a table, and what was uploaded last."""

    def look(session: Session) -> list[tuple[Intake, Badge]]:
        rows = intake.newest(session, visit.account.id)
        return [(row, _standing(session, row)) for row in rows if _may_see(visit, row)]

    return render_template(
        "console/intakes.html", rows=visit.read(look), kinds=KINDS, headings=order_sheets.EXAMPLE[0],
        names=(PEOPLE[0], RELATIONS[0], COMMISSIONS[0], ORDERS[0]), keeps=intake.KEPT.days,
    )  # fmt: skip


def _may_see(visit: Visit, row: Intake) -> bool:
    """Balances are money: who takes another system over is who may do everything."""
    return row.kind == intake.ORDERS or visit.may(Permission.SETTINGS_CHANGE)


def _standing(session: Session, row: Intake) -> Badge:
    for title, task_id in (("write", row.write_task_id), ("check", row.check_task_id)):
        task = None if task_id is None else session.get(Task, task_id)
        if task is not None:
            return _badge(title, task.state)
    return Badge(Both("已删除", "Deleted"))


def _badge(step: str, stage: str) -> Badge:
    if step == "check" and stage == tasks.DONE:
        return Badge(Both("等待确认", "To decide"), "warning")
    if step == "write" and stage == tasks.DONE:
        return Badge(Both("已导入", "Written"), "success")
    return state("task", stage)


@page("/imports/example.csv", allow=Permission.ORDERS_CHANGE)
def intake_example(visit: Visit) -> FlaskResponse:
    """A table of orders that can be read, to be filled in."""
    name = f"{visit.account.slug}-orders-example.csv"
    return FlaskResponse(
        sheets.encode(order_sheets.EXAMPLE), mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )  # fmt: skip


@page("/imports/orders", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def intake_orders(visit: Visit) -> Response:
    """Upload a table of orders; it is checked, nothing is written."""
    return _upload(visit, intake.ORDERS, lambda given: {"orders.csv": _bytes(given)}, "orders")


@page("/imports/takeover", allow=Permission.SETTINGS_CHANGE, methods=("POST",))
def intake_takeover(visit: Visit) -> Response:
    """Upload another system's tables; they are checked, nothing is written."""
    return _upload(visit, intake.TAKEOVER, lambda given: {_table(given): _bytes(given)}, "tables")


def _upload(visit: Visit, kind: str, named: Any, part: str) -> Response:
    try:
        given = [one for one in request.files.getlist(part) if one.filename]
        if kind == intake.ORDERS:
            given = given[:1]
        files = _read(given, named)
        options = {"source": _source()} if kind == intake.TAKEOVER else {}
        row = visit.transact(lambda session: _keep(session, visit, kind, given, files, options))
    except DomainError as error:
        flash(said(error), "danger")
        return redirect(visit.url("intake_list"))
    return redirect(visit.url("intake_page", intake_id=row.id))


def _read(given: list[FileStorage], named: Any) -> dict[str, bytes]:
    """The files by the names of their tables, no further than they may be large."""
    files: dict[str, bytes] = {}
    for one in given[: intake.MOST_FILES + 1]:
        files |= named(one)
        if sum(map(len, files.values())) > intake.MOST_BYTES:
            raise Invalid("the files are too large")
    if len(files) < len(given):
        raise Invalid("a table is named like orders.csv")
    return files


def _keep(
    session: Session, visit: Visit, kind: str, given: list[FileStorage], files: dict[str, bytes],
    options: dict[str, str],
) -> Intake:  # fmt: skip
    name = "、".join(PurePath(one.filename or "").name for one in given)
    return intake.add(
        session, visit.context.keyring, visit.account.id, kind, files, name=name, options=options,
        actor=visit.actor, now=visit.now,
    )  # fmt: skip


def _source() -> str:
    name = request.form.get("source", "").strip()
    if not SOURCE.fullmatch(name):
        raise Invalid("a source is named by up to 32 of a-z, 0-9 and -", source=name)
    return name


def _bytes(given: FileStorage) -> bytes:
    """The file, as far as is needed to see that it is too large."""
    return given.stream.read(intake.MOST_BYTES + 1)


def _table(given: FileStorage) -> str:
    """The table that a file is, by its name: `T_User.csv` is t_user. Raises `Invalid`."""
    path = PurePath((given.filename or "").replace("\\", "/"))
    name = path.stem.lower()
    if path.suffix.lower() != ".csv" or name not in {*PEOPLE, *RELATIONS, *ORDERS, *COMMISSIONS}:
        raise Invalid("a table is named like orders.csv", name=name[:60])
    return f"{name}.csv"


@page("/imports/<int:intake_id>", allow=Permission.ORDERS_CHANGE)
def intake_page(visit: Visit, intake_id: int) -> Answer:
    """What would happen, or what happened."""

    def look(session: Session) -> tuple[Intake, Task | None, Task | None]:
        row = _mine(session, visit, intake_id)
        found = [
            None if one is None else session.get(Task, one)
            for one in (row.check_task_id, row.write_task_id)
        ]
        return row, found[0], found[1]

    row, check, write = visit.read(look)
    task = write or check
    outcome = {} if task is None else tasks.result_of(task)
    checked = {} if check is None else tasks.result_of(check)
    again = row.content is not None and (write is None or write.state == tasks.FAILED)
    return render_template(
        "console/intake.html", row=row, task=task, kinds=KINDS, figures=list(_figures(outcome)), outcome=outcome,
        problems=[(str(PROBLEMS.get(kind, kind)), n) for kind, n in outcome.get("problems", {}).items()],
        problem_rows=list(_problem_rows(outcome.get("problem_rows", ()))), failure=_failure(outcome),
        badge=None if task is None else state("task", task.state), is_written=write is not None,
        decides=again and check is not None and check.state == tasks.DONE, has_problems=bool(checked.get("problems")),
    )  # fmt: skip


def _mine(session: Session, visit: Visit, intake_id: int) -> Intake:
    row = intake.get(session, visit.account.id, intake_id)
    if not _may_see(visit, row):
        abort(403)
    return row


def _figures(outcome: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = {**outcome.get("source", {}), **outcome.get("written", {})}
    for name, title in FIGURES.items():
        if found.get(name) or (name == "orders" and name in found):
            number = found[name]
            yield str(title), f"¥{grouped(number)}" if name.endswith("_fen") else thousands(number)


def _problem_rows(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for one in rows:
        why = str(one.get("why") or "")
        for message, words in REASONS.items():
            why = why.replace(message, str(words))
        where = str(one["row"])
        if one["problem"] == "row_refused":
            where = t(f"第 {where} 行", f"Row {where}")
        yield str(PROBLEMS.get(one["problem"], one["problem"])), where, why


def _failure(outcome: dict[str, Any]) -> str | None:
    """Why a task could not do it, in words if we have some."""
    error = outcome.get("error")
    if error is None:
        return None
    words = next((words for message, words in FAILURES.items() if message in error), None)
    return str(words) if words is not None else t(f"没有完成：{error}", f"Not done: {error}")


@page("/imports/<int:intake_id>/write", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def intake_write(visit: Visit, intake_id: int) -> Response:
    """What was checked is written, in the background."""

    def write(session: Session) -> None:
        _mine(session, visit, intake_id)
        accept = request.form.get("accept") == "1"
        intake.write(
            session, visit.account.id, intake_id, accept=accept, actor=visit.actor, now=visit.now
        )

    return visit.change(
        write, done=t("开始导入。", "Writing has begun."), back=visit.url("intake_page", intake_id=intake_id)
    )  # fmt: skip
