"""The audit log: who changed what in this account, before and after."""

from __future__ import annotations

import json
from typing import Any

from flask import render_template
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.db import is_key
from domain.errors import NotFound
from domain.models import Audit
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import CODE, INSTANT
from web.console.deeds import ACTIONS, deed
from web.console.listing import Choice, Column, Condition, Days, Listing, Search, Sort
from web.console.navigation import CARE, Menu
from web.console.visit import Answer, Visit, page


def _where(_visit: Visit, text: str) -> Condition | None:
    """By whom, what or on what, written whole: `staff:anna`, `rebound`, `member/12`."""
    if "/" in text:
        return Audit.subject == text if is_key(text, 128) else None
    if ":" in text or not is_key(text):
        return Audit.actor == text
    return Audit.action == text


def _to_change(visit: Visit, row: Audit) -> str:
    return visit.url("change", audit_id=row.id)


CHANGES = Listing(
    title=Both("操作日志", "Audit log"),
    columns=(
        Column(Both("做了什么", "What"), lambda row: deed(row.action), href=_to_change, lead=True),
        Column(Both("对象", "On what"), lambda row: row.subject, CODE),
        Column(Both("谁", "Who"), lambda row: row.actor),
        Column(Both("时间", "When"), lambda row: row.at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Audit.at, lambda row: row.at),),
    id_column=Audit.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("action", Both("做了什么", "What"), list(ACTIONS.items()), Audit.action),
        Days("at", Both("日期", "Days"), Audit.at),
    ),
    search=Search(Both("谁、动作或对象，如 staff:anna", "Who, action or subject: staff:anna"), _where),
    empty=Both("还没有任何修改。", "Nothing has been changed yet."),
    file="audit",
)  # fmt: skip


@page(
    "/changes",
    allow=Permission.AUDIT_READ,
    menu=Menu(CARE, Both("操作日志", "Audit log"), "clock-history", 90),
)
def changes(visit: Visit) -> Answer:
    """Every change by a person or a command, newest first."""
    return CHANGES.answer(visit, select(Audit).where(Audit.account_id == visit.account.id))


@page("/changes/<int:audit_id>", allow=Permission.AUDIT_READ)
def change(visit: Visit, audit_id: int) -> Answer:
    """One change, with what was before and what after."""

    def find(session: Session) -> Audit:
        row = session.get(Audit, audit_id)
        if row is None or row.account_id != visit.account.id:
            raise NotFound("no such change", audit=audit_id)
        return row

    row = visit.read(find)
    return render_template("console/change.html", row=row, deed=deed(row.action), lines=_lines(row))


def _lines(row: Audit) -> list[tuple[str, str | None, str | None]]:
    """(name, before, after) of everything the note says; None where it says nothing."""
    before, after = (_flat(one) for one in (row.before, row.after))
    names = list(before) + [name for name in after if name not in before]
    return [(name, before.get(name), after.get(name)) for name in names]


def _flat(text: str | None) -> dict[str, str]:
    value: Any = None if text is None else json.loads(text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        return {"": _said(value)}
    return {str(name): _said(one) for name, one in value.items()}


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
