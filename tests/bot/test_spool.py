"""What fails is kept on disk and done later: no push is lost, and none is done twice."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import migrations
import spooled
from app import app_of
from bot import handlers, spool
from bot.spool import Replayed
from bot.visit import Visit
from domain.db import Database
from spooled import Spooled
from tests.bot.chat import Chat, context_of, event_xml
from tests.support.databases import Schemas
from tests.support.mariadb import running_mariadb
from tests.support.servers import set_clock


def _folder(chat: Chat) -> Path:
    return chat.context.settings.data.dir / "spool"


@contextmanager
def _failing(name: str, error: Callable[[], Exception]) -> Generator[None]:
    """The handler `name` raises."""
    with pytest.MonkeyPatch.context() as patch:

        def broken(_visit: Visit) -> Any:
            raise error()

        patch.setattr(handlers, name, broken)
        yield


def _boom() -> Exception:
    return RuntimeError("boom")


def test_a_spooled_follow_binds_when_it_is_replayed(chat: Chat) -> None:
    chat.follow("anna")
    with _failing("on_subscribe", _boom):
        assert chat.follow("ben", by="anna").is_success
    assert chat.member("ben") is None
    assert spool.replay(chat.context) == Replayed(applied=1)
    assert chat.referrer_of("ben") == "anna"
    assert len(spooled.waiting(chat.context.settings.data.dir)) == 0


def test_an_encrypted_push_is_spooled_clear_and_replayed(chat: Chat) -> None:
    chat.add_account("safe", mode="safe")
    with _failing("on_subscribe", _boom):
        assert chat.follow("ben", slug="safe").is_success
    assert spool.replay(chat.context).applied == 1
    assert chat.member("ben", "safe") is not None


def test_replay_has_no_use_for_freshness(chat: Chat, tmp_path: Path) -> None:
    with _failing("on_subscribe", _boom):
        chat.follow("ben")
    set_clock(tmp_path / "clock.json", 86_400)
    assert spool.replay(chat.context).applied == 1
    assert chat.member("ben") is not None


def test_replay_keeps_the_order_of_arrival(chat: Chat) -> None:
    """Whose code came first is the referrer, also when both had to wait."""
    for name in ("anna", "eve", "ben"):
        chat.follow(name)
    with _failing("on_scan", _boom):
        chat.scan("ben", by="eve", created=200)
        chat.scan("ben", by="anna", created=100)
    spool.replay(chat.context)
    assert chat.referrer_of("ben") == "eve"


def test_what_had_been_done_after_all_is_not_done_again(chat: Chat) -> None:
    """Killed between the commit and the removal of the file."""
    chat.follow("anna")
    xml = event_xml(
        "ben", "subscribe", chat.now_seconds, EventKey=f"qrscene_{chat.code_of('anna')}"
    )
    chat.push(xml)
    for _ in range(2):
        spooled.keep(chat.context.settings.data.dir, "tea", chat.context.clock.now(), xml)
    assert spool.replay(chat.context).applied == 2
    assert chat.summary("anna").levels[1].people == 1


def test_a_push_that_fails_again_and_again_is_parked_and_the_rest_goes_on(chat: Chat) -> None:
    data = chat.context.settings.data.dir
    spooled.keep(data, "gone", chat.context.clock.now(), "<xml></xml>")
    xml = event_xml("ben", "subscribe", chat.now_seconds, EventKey="")
    spooled.keep(data, "tea", chat.context.clock.now(), xml)
    assert spool.replay(chat.context) == Replayed(applied=1, waiting=1)
    for _ in range(spool.TRIES - 2):
        assert spool.replay(chat.context) == Replayed(waiting=1)
    assert spool.replay(chat.context) == Replayed(parked=1)
    assert spool.replay(chat.context) == Replayed()
    [(_, item)] = spooled.parked(data)
    assert (item.slug, item.tries) == ("gone", spool.TRIES)
    assert "no account gone" in item.error


@pytest.mark.parametrize(
    "content", [b'{"slug": "tea", "xm', b'{"slug": "tea"}', b"[]", b"\xff\xfe"]
)
def test_a_damaged_file_is_parked_and_the_rest_goes_on(chat: Chat, content: bytes) -> None:
    data = chat.context.settings.data.dir
    xml = event_xml("ben", "subscribe", chat.now_seconds, EventKey="")
    spooled.keep(data, "tea", chat.context.clock.now(), xml)
    (_folder(chat) / "0.json").write_bytes(content)
    assert spool.replay(chat.context) == Replayed(applied=1, waiting=1)
    for _ in range(spool.TRIES - 1):
        spool.replay(chat.context)
    [(_, item)] = spooled.parked(data)
    assert item.xml == content.decode("utf-8", "replace")  # for whoever can read it


def test_a_result_for_a_message_of_somebody_else_is_forgotten(chat: Chat) -> None:
    assert chat.event("anna", "TEMPLATESENDJOBFINISH", MsgID="7", Status="success").is_success
    for _ in range(spool.TRIES - 1):
        assert spool.replay(chat.context).waiting == 1
    assert spool.replay(chat.context) == Replayed(dropped=1)
    assert spooled.parked(chat.context.settings.data.dir) == []


def test_an_unfinished_file_is_no_push(chat: Chat) -> None:
    """A power failure between writing and renaming: WeChat had not heard `success`."""
    _folder(chat).mkdir(parents=True)
    (_folder(chat) / "1.json.new").write_text('{"slug": "te')
    assert spool.replay(chat.context) == Replayed()


def test_a_file_is_safe_on_disk_before_wechat_hears_success(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(handle: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{handle}").resolve().suffix)
        fsync(handle)

    def watched_rename(path: Path, target: Path) -> Path:
        steps.append("rename " + path.suffix)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    with _failing("on_subscribe", _boom):
        chat.follow("ben")
    assert steps == ["fsync .new", "rename .new", "fsync "]


def test_when_the_disk_fails_too_wechat_is_asked_to_repeat(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spooled, "keep", full)
    with _failing("on_subscribe", _boom):
        assert chat.follow("ben").status == 503


def test_somebody_who_asked_hears_that_it_did_not_work(chat: Chat) -> None:
    with _failing("on_text", _boom):
        assert "请过一会儿再试" in chat.say("anna", "我的收益").text
    with _failing("on_click", _boom):
        assert "请过一会儿再试" in chat.click("anna", "我的收益").text


def test_two_replays_at_once_are_one(live_chat: Chat) -> None:
    chat = live_chat
    chat.follow("anna")
    with _failing("on_subscribe", _boom):
        for number in range(20):
            chat.follow(f"friend{number}", by="anna")
    results: list[Replayed] = []
    threads = [
        threading.Thread(target=lambda: results.append(spool.replay(chat.context)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.applied for result in results) == 20
    assert chat.summary("anna").levels[1].people == 20


def test_operators_replay_by_hand(chat: Chat) -> None:
    with _failing("on_subscribe", _boom):
        chat.follow("ben")
    result = chat.app.test_cli_runner().invoke(args=["spool", "replay"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["applied"], answer["parked_in_all"]) == (1, 0)


def test_a_busy_sqlite_is_not_waited_for(schemas: Schemas, tmp_path: Path) -> None:
    database = Database(schemas.live("sqlite"))
    callback = Database(database.url, lock_wait_seconds=1)
    chat = Chat.open(context_of(tmp_path, database, callback))
    chat.follow("anna")
    assert database.lane is not None
    with database.lane.taken(5):
        assert chat.follow("ben").is_success
        assert spool.replay(context_of(tmp_path, callback)) == Replayed(waiting=1)
    assert spool.replay(chat.context) == Replayed(applied=1)
    assert chat.member("ben") is not None
    callback.dispose()
    database.dispose()


def test_a_mariadb_that_is_away_loses_no_push(tmp_path: Path) -> None:
    """Follow, kill the server, follow, start it, replay: everybody is bound, and waiting costs no try."""
    with running_mariadb("--innodb-flush-log-at-trx-commit=1", binlog=True) as server:
        url = server.make_database("away")
        migrations.upgrade(url)
        database = Database(url, statement_seconds=2)
        chat = Chat.open(context_of(tmp_path, database))
        chat.follow("anna")
        code = chat.code_of("anna")
        server.stop()
        for name in ("ben", "cara"):
            key = f"qrscene_{code}"
            assert chat.event(name, "subscribe", EventKey=key).is_success
        assert spool.replay(chat.context) == Replayed(waiting=2)
        files = sorted(_folder(chat).glob("*.json"))
        assert [Spooled(**json.loads(path.read_text())).tries for path in files] == [0, 0]
        server.start()
        assert spool.replay(chat.context) == Replayed(applied=2)
        assert [chat.referrer_of(name) for name in ("ben", "cara")] == ["anna", "anna"]
        database.dispose()


def test_a_process_that_starts_while_the_database_is_away_asks_wechat_to_repeat(
    tmp_path: Path, live_database: Database
) -> None:
    chat = Chat.open(context_of(tmp_path, live_database))
    away = Database("mysql+pymysql://banyan@127.0.0.1:1/nowhere")
    context = context_of(tmp_path, live_database, away)
    chat = Chat(context, app_of(context), accounts=chat.accounts)
    assert chat.push(event_xml("ben", "subscribe", chat.now_seconds)).status == 503
