"""Tables whose rows the database itself refuses to change or delete.

Autogeneration writes `append_only("posting")` below each new table that `domain.models.APPEND_ONLY` names. SQLite
forgets triggers when a batch operation copies a table: call it again there (tests/test_migrations.py notices).
"""

from __future__ import annotations

from typing import Any

from alembic import op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, MigrateOperation, MigrationScript

from domain.models import APPEND_ONLY


def append_only(table: str) -> None:
    """Make the database refuse UPDATE and DELETE on the rows of `table`."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for action in ("update", "delete"):
        head = f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table}"
        if sqlite:
            op.execute(f"{head} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
        else:
            op.execute(
                f"{head} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{table} is append-only'"
            )


class AppendOnlyOp(MigrateOperation):
    """A line `append_only(…)` in a generated migration."""

    def __init__(self, table: str) -> None:
        self.table = table

    def reverse(self) -> MigrateOperation:
        return self  # dropping the table drops its triggers

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("append_only", self.table)


@renderers.dispatch_for(AppendOnlyOp)
def _render(context: AutogenContext, operation: AppendOnlyOp) -> str:
    context.imports.add("from migrations.append_only import append_only")
    return f'append_only("{operation.table}")'


def add_to(script: MigrationScript) -> None:
    """Protect every new append-only table of a generated migration."""
    upgrade = script.upgrade_ops
    if upgrade is None:
        return
    new = [each.table_name for each in upgrade.ops if isinstance(each, CreateTableOp)]
    upgrade.ops.extend(AppendOnlyOp(table) for table in new if table in APPEND_ONLY)
