"""avatars

Before you merge this: the PREVIOUS release keeps running while it is applied, and for a while after.
* A new column is nullable or has a server default; a new table is free.
* Never rename or drop what the previous release reads or writes: add the new one, write both, move the rows in a job,
  read the new one, and drop the old one in the release after next.
* One statement on a large table, or one that is safe to run again: MariaDB commits at every DDL statement.
* Rows are moved in chunks by a job, not here. If rows are changed here, a test proves it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from migrations.types import ascii_key, instant

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "avatar",
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", ascii_key(64), nullable=False),
        sa.Column(
            "jpeg",
            sa.LargeBinary()
            .with_variant(mysql.MEDIUMBLOB(), "mariadb")
            .with_variant(mysql.MEDIUMBLOB(), "mysql"),
            nullable=False,
        ),
        sa.Column("kept_at", instant(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_avatar")),
    )
