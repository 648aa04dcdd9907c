"""Alembic runs this file for every command. The connection comes from `migrations.config`, limits and all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql

from domain.models import Base, Instant
from migrations import append_only, default_differs


def _render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """A migration must not change its meaning when domain/models/ does, so it never names the models' types."""
    if kind != "type":
        return False
    if isinstance(item, Instant):
        autogen.imports.add("from migrations.types import instant")
        return "instant()"
    variant = getattr(item, "dialect_impl", lambda _dialect: item)(mysql.dialect())
    if isinstance(variant, mysql.VARCHAR) and variant.charset == "ascii":
        autogen.imports.add("from migrations.types import ascii_key")
        return f"ascii_key({variant.length})"
    return False


def _complete(
    _context: MigrationContext,
    _revision: Iterable[str | None] | Iterable[str],
    scripts: list[MigrationScript],
) -> None:
    for script in scripts:
        append_only.add_to(script)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=True,
    # SQLite can hardly alter a table; batch operations copy it there, and are plain ALTERs on MariaDB.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=default_differs,
    render_item=_render_item,
    process_revision_directives=_complete,
)
with context.begin_transaction():
    context.run_migrations()
