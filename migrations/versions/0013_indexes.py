"""indexes that lists of a million rows need

Before you merge this: the PREVIOUS release keeps running while it is applied, and for a while after.
* A new column is nullable or has a server default; a new table is free.
* Never rename or drop what the previous release reads or writes: add the new one, write both, move the rows in a job,
  read the new one, and drop the old one in the release after next.
* One statement on a large table, or one that is safe to run again: MariaDB commits at every DDL statement.
* Rows are moved in chunks by a job, not here. If rows are changed here, a test proves it.

An index that goes was replaced by one that begins alike: the previous release finds its rows by the new one.
"""

from alembic import op

revision = "0013"
down_revision = "0012"


NEW = (
    ("posting", ("member_id", "id", "source", "destination", "amount_fen")),
    ("orders", ("account_id", "status", "paid_at")),
    ("orders", ("member_id", "status", "paid_fen", "refunded_fen", "paid_at")),
)
OLD = (
    ("posting", "ix_posting_member_id_id"),
    ("orders", "ix_orders_account_id_status_created_at"),
    ("orders", "ix_orders_member_id_status_paid_fen_refunded_fen"),
)


def upgrade() -> None:
    for table, columns in NEW:
        name = f"ix_{table}_{'_'.join(columns)}"
        op.create_index(name, table, columns, if_not_exists=True)
    for table, name in OLD:
        op.drop_index(name, table_name=table, if_exists=True)
