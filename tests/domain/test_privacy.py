"""What is erased when somebody leaves, what stays, and what they get when they ask. Every personal column is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import LargeBinary, String, Text, select
from sqlalchemy.orm import Session

from domain import members, privacy
from domain.models import (
    Avatar,
    Base,
    Identity,
    Member,
    MemberTag,
    Notice,
    Poster,
    PromoterApplication,
)
from domain.secrets import Keyring
from tests.domain.world import World
from tests.support.servers import MASTER_KEY

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_every_column_that_could_hold_personal_data_is_classified() -> None:
    """If this fails: decide whether the new column is erased or why it is kept (domain/privacy.py)."""
    missing = set()
    for table in Base.metadata.sorted_tables:
        if not privacy.speaks_of_members(table):
            continue
        named = privacy.ERASED.get(table.name, frozenset()) | set(privacy.KEPT.get(table.name, {}))
        for column in table.columns:
            is_text = isinstance(column.type, String | Text | LargeBinary)
            if is_text and column.name not in named:
                missing.add(f"{table.name}.{column.name}")
    assert missing == set()


def test_every_classified_column_exists() -> None:
    for names in (privacy.ERASED, privacy.KEPT, privacy.CLOSED):
        for table, columns in names.items():
            assert set(columns) <= set(Base.metadata.tables[table].columns.keys()), table


def test_no_column_is_both_erased_and_kept() -> None:
    for table, columns in privacy.ERASED.items():
        assert columns & set(privacy.KEPT.get(table, {})) == set()


def _person(world: World, openid: str) -> int:
    """A member with something in every place where personal data can be."""
    keyring = Keyring(MASTER_KEY)

    def fill(session: Session) -> int:
        member = members.get(session, world.account.id, openid)
        members.set_nickname(session, world.account.id, openid, "小红")
        members.set_remark(session, member.id, "王姐")
        members.set_unionid(session, member.id, "u-1")
        members.set_contact(
            session, keyring, member.id, phone="13800000000", email="a@b.c", real_name="王红"
        )
        members.link_identity(session, world.account.id, member.id, "wx-mini", "mini-1")
        account_id, member_id = world.account.id, member.id
        session.add_all(
            [
                Poster(
                    scene_id=member_id, member_id=member_id, qr_ticket_id=1, fingerprint="f", media_id="m",
                    media_expires_at=NOW, asked_at=NOW,
                ),
                Avatar(member_id=member_id, account_id=account_id, digest="d", jpeg=b"j", kept_at=NOW),
                MemberTag(member_id=member_id, tag_id=100, account_id=account_id, state="set"),
                PromoterApplication(
                    account_id=account_id, member_id=member_id, status="applied", message="我是王红", applied_at=NOW
                ),
                Notice(
                    account_id=account_id, member_id=member_id, occasion="friend_joined", notice_key="n-1",
                    params='{"friend":"小明"}', created_at=NOW,
                ),
            ]
        )  # fmt: skip
        session.flush()
        return member_id

    return world.database.transact(fill)


def test_leaving_erases_the_person_and_following_again_is_the_same_member(world: World) -> None:
    world.follow("anna")
    world.follow("ben", by="anna")
    member_id = _person(world, "ben")
    before = world.database.read(lambda s: s.get_one(Member, member_id))
    world.leave("ben")

    def look(session: Session) -> None:
        member = session.get_one(Member, member_id)
        for name in privacy.ERASED["member"]:
            assert getattr(member, name) is None, name
        assert (member.referrer_id, member.code, member.unionid) == (
            before.referrer_id,
            before.code,
            "u-1",
        )
        for table in (Poster, Avatar, MemberTag):
            assert session.scalars(select(table).where(table.member_id == member_id)).all() == []
        told = session.scalars(select(Notice).where(Notice.member_id == member_id)).all()
        assert told
        assert {(one.params, one.read_at is not None) for one in told} == {("{}", True)}
        asked = session.scalars(select(PromoterApplication)).one()
        assert asked.message is None
        assert session.scalars(select(Identity)).one().member_id == member_id

    world.database.read(look)
    world.follow("ben")
    again = world.database.read(lambda s: members.get(s, world.account.id, "ben"))
    assert (again.id, again.referrer_id, again.following) == (member_id, before.referrer_id, True)


def test_closing_the_wechat_account_erases_what_leads_there_from_other_apps(world: World) -> None:
    world.follow("anna")
    member_id = _person(world, "anna")
    world.database.transact(lambda s: members.erase(s, world.account.id, "anna", closed=True))
    member = world.database.read(lambda s: s.get_one(Member, member_id))
    assert (member.unionid, member.nickname, member.openid) == (None, None, "anna")
    assert world.database.read(lambda s: s.scalars(select(Identity)).all()) == []
    world.database.transact(lambda s: members.erase(s, world.account.id, "anna", closed=True))
    world.database.transact(lambda s: members.erase(s, world.account.id, "nobody"))


def test_who_asks_gets_everything_of_theirs_and_nothing_of_others(world: World) -> None:
    world.follow("anna")
    world.follow("ben", by="anna")
    member_id = _person(world, "ben")
    keyring = Keyring(MASTER_KEY)
    found = world.database.read(
        lambda s: privacy.export(s, keyring, world.account.id, member_id, NOW)
    )
    [member] = found["member"]
    assert (member["phone"], member["email"], member["real_name"]) == (
        "13800000000",
        "a@b.c",
        "王红",
    )
    assert not any(name.endswith("_index") for name in member)
    assert found["notice"][0]["params"] == '{"friend":"小明"}'
    assert {
        row["member_id"]
        for rows in found.values()
        if isinstance(rows, list)
        for row in rows
        if "member_id" in row
    } == {member_id}
    pieces = world.database.read(
        lambda s: "".join(privacy.export_pieces(s, keyring, world.account.id, member_id, NOW))
    )
    assert json.loads(pieces) == found
