"""pictures of codes from our own files, weights of poster templates

Before you merge this: the PREVIOUS release keeps running while it is applied, and for a while after.
* A new column is nullable or has a server default; a new table is free.
* Never rename or drop what the previous release reads or writes: add the new one, write both, move the rows in a job,
  read the new one, and drop the old one in the release after next.
* One statement on a large table, or one that is safe to run again: MariaDB commits at every DDL statement.
* Rows are moved in chunks by a job, not here. If rows are changed here, a test proves it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.add_column(sa.Column("media", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("poster_template", schema=None) as batch_op:
        batch_op.add_column(sa.Column("weight", sa.Integer(), server_default="1", nullable=False))
