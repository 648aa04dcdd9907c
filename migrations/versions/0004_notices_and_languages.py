"""notices by channel, languages, subscription credits, service windows

Before you merge this: the PREVIOUS release keeps running while it is applied, and for a while after.
* A new column is nullable or has a server default; a new table is free.
* Never rename or drop what the previous release reads or writes: add the new one, write both, move the rows in a job,
  read the new one, and drop the old one in the release after next.
* One statement on a large table, or one that is safe to run again: MariaDB commits at every DDL statement.
* Rows are moved in chunks by a job, not here. If rows are changed here, a test proves it.

The two small tables of the merchant's choices get a longer primary key; the previous release writes rows that take the
default of the new column.
"""

import sqlalchemy as sa
from alembic import op

from migrations.types import ascii_key, instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "service_window",
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("spoke_at", instant(), nullable=True),
        sa.Column("tapped_at", instant(), nullable=True),
        sa.Column("spent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_service_window")),
    )
    with op.batch_alter_table("service_window", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_service_window_account_id_spoke_at_member_id"),
            ["account_id", "spoke_at", "member_id"],
            unique=False,
        )
    op.create_table(
        "subscription_credit",
        sa.Column("member_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("template_id", ascii_key(64), nullable=False),
        sa.Column("credits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed_at", instant(), nullable=False),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_subscription_credit_credits")),
        sa.PrimaryKeyConstraint("member_id", "template_id", name=op.f("pk_subscription_credit")),
    )
    with op.batch_alter_table("subscription_credit", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_subscription_credit_template_id_credits_member_id"),
            ["template_id", "credits", "member_id"],
            unique=False,
        )
    with op.batch_alter_table("member", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("promotions_muted", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("lang", ascii_key(8), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column("unread", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.create_index(
            batch_op.f("ix_member_account_id_following_promotions_muted_muted_id"),
            ["account_id", "following", "promotions_muted", "muted", "id"],
            unique=False,
        )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.add_column(sa.Column("waiting_at", instant(), nullable=True))
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("channel", ascii_key(32), nullable=True))
        batch_op.add_column(sa.Column("carried_by", ascii_key(128), nullable=True))
    with op.batch_alter_table("notice_template", schema=None) as batch_op:
        batch_op.add_column(sa.Column("problem", sa.String(length=190), nullable=True))
        batch_op.add_column(sa.Column("problem_at", instant(), nullable=True))
        batch_op.add_column(
            sa.Column("channel", ascii_key(32), server_default="template", nullable=False)
        )
        batch_op.create_check_constraint(
            op.f("ck_notice_template_channel"), "channel IN ('template', 'subscription')"
        )
    with op.batch_alter_table("text_override", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lang", ascii_key(8), server_default="zh-CN", nullable=False))
    _lengthen_key("notice_template", ["account_id", "occasion", "channel"])
    _lengthen_key("text_override", ["account_id", "lang", "text_key"])


def _lengthen_key(table: str, columns: list[str]) -> None:
    """On MariaDB in one statement, so that the table is never without a key."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(f"pk_{table}", type_="primary")
            batch_op.create_primary_key(f"pk_{table}", columns)
    else:
        op.execute(f"ALTER TABLE {table} DROP PRIMARY KEY, ADD PRIMARY KEY ({', '.join(columns)})")
