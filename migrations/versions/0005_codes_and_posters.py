"""codes and posters

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

from migrations.append_only import append_only
from migrations.types import ascii_key, instant

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "code",
        sa.Column("scene_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("reply", sa.String(length=2000), nullable=True),
        sa.Column("media_id", ascii_key(128), nullable=True),
        sa.Column("tag", sa.String(length=190), nullable=True),
        sa.Column("created_at", instant(), nullable=False),
        sa.Column("archived_at", instant(), nullable=True),
        sa.Column("people", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("following", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("counted_at", instant(), nullable=True),
        sa.PrimaryKeyConstraint("scene_id", name=op.f("pk_code")),
    )
    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_code_account_id_scene_id"), ["account_id", "scene_id"], unique=False
        )

    op.create_table(
        "code_day",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", ascii_key(16), nullable=False),
        sa.Column("ref_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("posters", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("scans", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("follows", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("joined", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("leaves", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("buyers", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("orders", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sales_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("subject IN ('code', 'template')", name=op.f("ck_code_day_subject")),
        sa.PrimaryKeyConstraint("account_id", "subject", "ref_id", "day", name=op.f("pk_code_day")),
    )
    with op.batch_alter_table("code_day", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_code_day_account_id_day"), ["account_id", "day"], unique=False
        )

    op.create_table(
        "permanent_grant",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scene_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=190), nullable=False),
        sa.Column("granted_at", instant(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("pk_permanent_grant")),
        sa.UniqueConstraint("scene_id", name=op.f("uq_permanent_grant_scene_id")),
    )
    op.create_table(
        "permanent_pool",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("granted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_permanent_pool")),
    )
    op.create_table(
        "picture",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", ascii_key(64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column(
            "jpeg",
            sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"),
            nullable=False,
        ),
        sa.Column("created_at", instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_picture")),
        sa.UniqueConstraint("account_id", "digest", name=op.f("uq_picture_account_id_digest")),
    )
    op.create_table(
        "poster_template",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("purpose", ascii_key(32), nullable=False),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("created_at", instant(), nullable=False),
        sa.Column("retired_at", instant(), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('invite', 'product')", name=op.f("ck_poster_template_purpose")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_poster_template")),
    )
    with op.batch_alter_table("poster_template", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_poster_template_account_id_purpose_retired_at"),
            ["account_id", "purpose", "retired_at"],
            unique=False,
        )

    with op.batch_alter_table("member", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source_scene_id", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_member_source_scene_id_following"),
            ["source_scene_id", "following"],
            unique=False,
        )

    # Which picture WeChat keeps: nothing but a cache, now by scene instead of by member. It fills itself again.
    op.drop_table("poster")
    op.create_table(
        "poster",
        sa.Column("scene_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("qr_ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("template_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fingerprint", ascii_key(64), nullable=False),
        sa.Column("media_id", ascii_key(128), nullable=False),
        sa.Column("media_expires_at", instant(), nullable=False),
        sa.Column("asked_at", instant(), nullable=False),
        sa.PrimaryKeyConstraint("scene_id", name=op.f("pk_poster")),
    )
    op.create_index(op.f("ix_poster_member_id"), "poster", ["member_id"])
    with op.batch_alter_table("scene", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sku", ascii_key(64), nullable=True))
        batch_op.add_column(sa.Column("renew_at", instant(), nullable=True))
        batch_op.create_index(batch_op.f("ix_scene_renew_at"), ["renew_at"], unique=False)

    append_only("permanent_grant")
