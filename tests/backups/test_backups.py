"""Backup and restore: one file, verified; and what WeChat and the shop know better is told again, once."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import backups
from backups import BackupRefused
from domain import members, outbox, payouts, withdrawals
from domain.db import Database
from domain.models import Withdrawal
from domain.payouts import ProviderNews, Terms
from domain.secrets import Keyring
from tests.domain.world import KEYRING, START, World
from tests.support.databases import Schemas

_number = itertools.count(1)

TERMS = Terms("1900000001", "1005", "佣金提现", (("岗位类型", "推广员"),))


@pytest.fixture
def shop(live_database: Database) -> World:
    """A world with real commits and something in most tables."""
    world = World.create(live_database, audit_above_fen=100_000)
    world.people("ann", "bob", "cai")
    world.do(lambda s: members.set_nickname(s, world.account.id, "cai", "小蔡 🌱"))
    world.pay_and_settle("bob", 100_000)
    world.pay("cai", 20_000)
    return world


@pytest.fixture
def fresh(schemas: Schemas) -> Callable[[str], str]:
    """The address of an empty database of an engine."""
    return lambda engine: schemas.fresh(engine, f"restored{next(_number)}")


def back_up(world: World, tmp_path: Path) -> Path:
    target = tmp_path / "shop.banyan"
    backups.backup(world.database, KEYRING, target, world.now)
    return target


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.reading() as session:
        connection = session.connection()
        return {
            name: list(
                backups._lines(connection, name, backups._summary(connection, name)["columns"])
            )
            for name in backups._tables(connection)
        }


@pytest.mark.parametrize("to", ["sqlite", "mariadb"])
def test_restored_database_has_every_row_also_on_the_other_engine(
    shop: World, tmp_path: Path, fresh: Callable[[str], str], to: str
) -> None:
    file = back_up(shop, tmp_path)
    url = fresh(to)
    manifest = backups.restore(url, KEYRING, file)
    restored = World(Database(url), shop.account, shop.now)
    assert rows_of(restored.database) == rows_of(shop.database)
    assert manifest.rows == sum(len(rows) for rows in rows_of(shop.database).values())
    restored.check()
    restored.follow("new", "ann", key="after-the-restore")  # ids go on behind the restored ones
    restored.check()
    restored.database.dispose()


def test_backup_is_one_instant_while_others_write(
    shop: World, tmp_path: Path, fresh: Callable[[str], str]
) -> None:
    file = back_up(shop, tmp_path)
    shop.follow("late", "ann")
    url = fresh("sqlite")
    backups.restore(url, KEYRING, file)
    restored = World(Database(url), shop.account, shop.now)
    assert restored.look(lambda s: members.find(s, shop.account.id, "late")) is None
    restored.check()


def test_backup_is_for_its_owner_only_and_replaces_nothing(shop: World, tmp_path: Path) -> None:
    file = back_up(shop, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupRefused):
        back_up(shop, tmp_path)
    assert [path.name for path in tmp_path.glob("shop*")] == ["shop.banyan"]


def test_master_key_is_not_in_the_file(shop: World, tmp_path: Path) -> None:
    file = back_up(shop, tmp_path)
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read(backups.MANIFEST))["master_key"] == "not included"
        assert all(bytes(range(32)) not in archive.read(name) for name in archive.namelist())


def test_restore_refuses_a_database_that_has_rows(shop: World, tmp_path: Path) -> None:
    file = back_up(shop, tmp_path)
    before = rows_of(shop.database)
    with pytest.raises(BackupRefused, match="not empty"):
        backups.restore(shop.database.url, KEYRING, file)
    assert rows_of(shop.database) == before


def test_restore_under_another_master_key_must_be_meant(
    shop: World, tmp_path: Path, fresh: Callable[[str], str]
) -> None:
    file, other = back_up(shop, tmp_path), Keyring(b"x" * 32)
    with pytest.raises(BackupRefused, match="master key"):
        backups.restore(fresh("sqlite"), other, file)
    backups.restore(fresh("sqlite"), other, file, other_key=True)


def _change(file: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_file_that_was_changed_is_refused_before_anything_is_written(
    shop: World, tmp_path: Path, fresh: Callable[[str], str]
) -> None:
    file = back_up(shop, tmp_path)
    _change(
        file,
        lambda name, content: (
            content if name == backups.MANIFEST else content.replace(b"ann", b"anm")
        ),
    )
    url = fresh("sqlite")
    with pytest.raises(BackupRefused):
        backups.restore(url, KEYRING, file)
    database = Database(url)
    assert database.read(lambda s: s.scalar(text("SELECT COUNT(*) FROM member"))) == 0


def test_file_of_a_newer_release_and_any_other_file_are_refused(
    shop: World, tmp_path: Path, fresh: Callable[[str], str]
) -> None:
    file = back_up(shop, tmp_path)
    _change(
        file,
        lambda name, content: (
            re.sub(rb'"schema_version": "[0-9]+"', b'"schema_version": "9999"', content)
            if name == backups.MANIFEST
            else content
        ),
    )
    with pytest.raises(BackupRefused, match="newer release"):
        backups.restore(fresh("sqlite"), KEYRING, file)
    other = tmp_path / "letter.txt"
    other.write_text("dear sirs")
    with pytest.raises(BackupRefused, match="not a backup"):
        backups.restore(fresh("sqlite"), KEYRING, other)


def test_restore_while_wechat_and_the_shop_have_newer_facts(
    shop: World, tmp_path: Path, fresh: Callable[[str], str], engine_name: str
) -> None:
    """F24: the pushes of the spool, the shop's reports and the bills of WeChat Pay are told again, and nothing is
    counted or paid twice."""
    first = ask_for_money(shop, "m-before")
    shop.do(lambda s: payouts.begin(s, shop.account, first.id, TERMS, shop.now))
    refunded = shop.pay("bob", 5000)
    file = back_up(shop, tmp_path)
    since = shop.now

    live_on(shop, refunded)
    second = ask_for_money(shop, "m-after")
    finish(shop, first.payout_no)
    finish(shop, second.payout_no)

    url = fresh(engine_name)
    backups.restore(url, KEYRING, file)
    restored = World(Database(url), shop.account, since)
    restored.check()
    live_on(restored, refunded)  # the spool replays, the shop reports again
    live_on(restored, refunded)
    again = ask_for_money(
        restored, "m-after"
    )  # WeChat repeats the push: the same number, so no second transfer
    assert again.payout_no == second.payout_no
    finish(restored, first.payout_no)
    finish(restored, again.payout_no)
    finish(restored, again.payout_no)
    for name in ("ann", "bob"):
        assert restored.available(name) == shop.available(name)
        assert restored.summary(name).levels == shop.summary(name).levels
    waiting = restored.look(lambda s: outbox.due_topics(s, restored.now + timedelta(minutes=10)))
    assert (
        outbox.NOTICE in waiting
    )  # the rows are the messages: the clock rings for them, under their old ids
    restored.check()
    shop.check()
    restored.database.dispose()


def live_on(world: World, refunded: str) -> None:
    """Five minutes of pushes and reports, under the keys that WeChat and the shop gave them."""
    world.follow("dan", "bob", key="push-dan", created=START + timedelta(days=20))
    world.leave("cai", key="push-leave", created=START + timedelta(days=20))
    world.pay("dan", 9000, no="order-dan", paid_at=START + timedelta(days=20))
    world.refund(refunded, {1: 2000}, no="refund-bob")


def ask_for_money(world: World, token: str) -> Withdrawal:
    def ask(session: Any) -> Withdrawal:
        member = members.get(session, world.account.id, "ann")
        return withdrawals.request(
            session, world.account, member, 1000, client_token=token, now=world.now
        )

    return world.do(ask)


def finish(world: World, payout_no: str) -> None:
    """WeChat Pay, asked for the number, says that it was paid."""

    def record(session: Any) -> None:
        row = payouts.find_by_payout_no(session, payout_no)
        assert row is not None
        if row.status == withdrawals.APPROVED:
            payouts.begin(session, world.account, row.id, TERMS, world.now)
        news = ProviderNews("SUCCESS", bill_no=f"bill-{payout_no}")
        payouts.finish(session, world.account, row.id, paid=True, news=news, now=world.now)

    world.do(record)
