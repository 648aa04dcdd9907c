"""Statistics without commits: touches are appended to files and folded into events, once each."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.touches import Journal, fold_touches
from domain.models import Event
from tests.bot.chat import Chat, event_xml, text_xml
from tests.support.waiting import until


def _events(chat: Chat, *kinds: str) -> list[Event]:
    query = select(Event).where(Event.kind.in_(kinds)).order_by(Event.id)
    return chat.context.database.read(lambda session: list(session.scalars(query)))


def _files(chat: Chat) -> list[str]:
    return sorted(path.suffix for path in (chat.context.settings.data.dir / "touches").glob("*"))


def test_clicks_views_and_texts_become_events_of_their_member(chat: Chat) -> None:
    chat.follow("anna")
    chat.click("anna", "我的收益")
    chat.event("anna", "VIEW", EventKey="http://127.0.0.1/shop", MenuId="1")
    chat.say("anna", "帮助")
    chat.say("anna", "什么时候发货")
    assert fold_touches(chat.context) == 4
    found = [(event.kind, event.detail) for event in _events(chat, "click", "view", "text")]
    assert Counter(found) == Counter(
        [("click", "我的收益"), ("view", "http://127.0.0.1/shop"), ("text", "帮助"), ("text", None)]
    )
    member = chat.member("anna")
    assert member is not None
    assert {event.member_id for event in _events(chat, "click", "view", "text")} == {member.id}
    assert _files(chat) == []


def test_what_people_write_is_not_kept(chat: Chat) -> None:
    chat.say("anna", "我的身份证号是 1234")
    [path] = (chat.context.settings.data.dir / "touches").glob("*")
    assert "1234" not in path.read_text()


def test_a_repeated_push_is_one_touch(chat: Chat) -> None:
    xml = text_xml("anna", "帮助", 9, chat.now_seconds)
    chat.push(xml)
    chat.push(xml)
    assert fold_touches(chat.context) == 1
    chat.push(xml)
    assert fold_touches(chat.context) == 0


def test_two_clicks_of_one_second_are_two(chat: Chat) -> None:
    for key in ("我的收益", "我的团队"):
        chat.push(event_xml("anna", "CLICK", 1_700_000_000, EventKey=key))
    assert fold_touches(chat.context) == 2


def test_a_fold_that_was_killed_is_finished_by_the_next(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.click("anna", "帮助")

    def killed(_path: Path, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            fold_touches(chat.context)
    assert _files(chat) == [".taken"]
    assert fold_touches(chat.context) == 0
    assert _files(chat) == []
    assert len(_events(chat, "click")) == 1


def test_a_line_that_was_cut_short_costs_only_itself(chat: Chat) -> None:
    chat.click("anna", "帮助")
    [path] = (chat.context.settings.data.dir / "touches").glob("*")
    with path.open("a") as file:
        file.write('[1,"cut')
    assert fold_touches(chat.context) == 1


def test_nothing_is_lost_while_threads_write_and_folds_run(live_chat: Chat) -> None:
    chat = live_chat
    journals = [Journal(chat.context.settings.data.dir) for _ in range(2)]
    writing = threading.Event()
    writing.set()
    folded: list[int] = []

    def write(worker: int) -> None:
        for number in range(150):
            journals[worker % 2].note(chat.tea.id, f"{worker}-{number}", "click", "anna", "x", 1)
            if number % 10 == 0:
                journals[worker % 2].flush()

    def fold() -> None:
        while writing.is_set():
            folded.append(fold_touches(chat.context))

    with ThreadPoolExecutor() as pool:
        folds = [pool.submit(fold) for _ in range(2)]
        list(pool.map(write, range(4)))
        writing.clear()
        for fold_run in folds:
            fold_run.result()
    for journal in journals:
        journal.close()
    folded.append(fold_touches(chat.context))
    assert sum(folded) == 600
    assert len(_events(chat, "click")) == 600


def test_touch_leaves_memory_by_itself(chat: Chat) -> None:
    journal = Journal(chat.context.settings.data.dir)
    journal.note(chat.tea.id, "a-key", "click", "anna", "x", 1)
    until(lambda: bool(_files(chat)), 10, what="the journal's file")
    assert fold_touches(chat.context) == 1


def test_touches_stay_in_memory_while_the_disk_takes_nothing(chat: Chat) -> None:
    data = chat.context.settings.data.dir
    (data / "touches").write_text("a file where the folder should be")
    journal = Journal(data)
    for number in range(3):
        journal.note(chat.tea.id, f"key-{number}", "click", "anna", "x", 1)
    with pytest.raises(OSError, match="touches"):
        journal.flush()
    (data / "touches").unlink()
    journal.close()
    assert fold_touches(chat.context) == 3
