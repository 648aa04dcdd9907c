"""Writes the entity-relationship diagram of docs/data-model.md from the tables: `python -m migrations.diagram`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Table, UniqueConstraint

from domain.models import Base

PAGE: Final = Path(__file__).parent.parent / "docs" / "data-model.md"
BEGIN: Final = "<!-- generated: python -m migrations.diagram -->\n"
END: Final = "<!-- end of what is generated -->\n"
_ALIASES: Final = {"order": "orders", "staff": "staff", "bound_scene": "scene"}


def _target(column: str) -> str | None:
    """The table that a column points to, by its name: `joined_member_id` and `referrer_id` are members."""
    if not column.endswith("_id"):
        return None
    name = column.removesuffix("_id")
    tables = Base.metadata.tables
    if name in {"ancestor", "descendant", "referrer", "joined_member", "friend"}:
        return "member"
    name = _ALIASES.get(name, name)
    return name if name in tables else None


def _shown(table: Table, column: Column[object]) -> bool:
    """Keys, money and states: what a reader of the diagram looks for."""
    name = column.name
    return bool(
        column.primary_key
        or _target(name)
        or name.endswith(("_fen", "_bps", "_key", "_no", "openid"))
        or name in {"status", "state", "kind", "level", "slug", "code"}
    )


def diagram() -> str:
    """The Mermaid text of all tables."""
    lines, relations = [], []
    for table in Base.metadata.sorted_tables:
        unique = {
            column.name
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint)
            for column in constraint.columns
        }
        lines.append(f"    {table.name} {{")
        for column in table.columns:
            if _shown(table, column):
                marks = ["PK"] * column.primary_key + ["UK"] * (column.name in unique)
                kind = column.type.__visit_name__.lower().replace("type_decorator", "instant")
                lines.append(f"        {kind} {column.name} {', '.join(marks)}".rstrip())
            target = _target(column.name)
            if target is not None and not (target == table.name and column.primary_key):
                relations.append(f"    {target} ||--o{{ {table.name} : {column.name}")
        lines.append("    }")
    return "\n".join(["```mermaid", "erDiagram", *relations, *lines, "```", ""])


def page() -> str:
    """The page with today's diagram in its place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + diagram() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
