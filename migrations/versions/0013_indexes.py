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


def upgrade() -> None:
    op.create_index(
        "ix_posting_member_id_id_source_destination_amount_fen",
        "posting",
        ["member_id", "id", "source", "destination", "amount_fen"],
        if_not_exists=True,
    )
    op.drop_index("ix_posting_member_id_id", table_name="posting", if_exists=True)
    op.create_index(
        "ix_orders_account_id_status_paid_at",
        "orders",
        ["account_id", "status", "paid_at"],
        if_not_exists=True,
    )
    op.drop_index("ix_orders_account_id_status_created_at", table_name="orders", if_exists=True)
