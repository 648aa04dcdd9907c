"""The scenario language, played as a third party would: `python -m simulator run FILE`."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator.scenario.grammar import HELP, MistakeError, parse
from simulator.scenario.runner import Runner, UntrueError
from tests.simulator.conftest import ROOT, Callback, Received, Sim
from tests.simulator.test_menu import button

STORY = """
# A friend brings a friend.
tell Alice follows and asks for help
Alice has a phone
Alice follows
Alice says "help"
expect the reply to show "how" "help"
expect Alice's phone to show text "how I help"
expect Alice's phone not to show "how I help"
tell Bob comes through a scene, and leaves
Bob has a phone
Bob scans scene "p-1"
Bob taps TEAM
Bob taps "我的团队"
Bob unfollows
fault busy_rate once
fault invalid_token_errcode 40014
fault rotate_token
faults off
clock +2 days
"""


def answering(received: Received) -> tuple[int, str]:
    fields = received.fields
    if fields.get("MsgType") != "text":
        return 200, "success"
    people = (
        f"<ToUserName>{fields['FromUserName']}</ToUserName><FromUserName>gh_banyan</FromUserName>"
    )
    text = "<MsgType>text</MsgType><Content>how I help</Content>"
    return 200, f"<xml>{people}<CreateTime>1</CreateTime>{text}</xml>"


def run(sim: Sim, text: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    file = folder / "story.txt"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-m", "simulator", "run", str(file), "--url", sim.url, *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def played(sim: Sim, text: str) -> list[str]:
    told: list[str] = []
    Runner(sim.url, "", 0.2, told.append).play(parse(text))
    return told


def test_a_story_is_told_line_by_line(sim: Sim, callback: Callback, tmp_path: Path) -> None:
    callback.answer = answering
    sim.client().menu.create({"button": [button()]})
    done = run(sim, STORY, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        " 1. Alice follows and asks for help",
        "      how I help",
        " 2. Bob comes through a scene, and leaves",
        "✓ story.txt",
    ]
    assert sim.look("clock")["offset_seconds"] >= 2 * 86_400


def test_what_does_not_come_true_ends_the_story(sim: Sim, tmp_path: Path) -> None:
    story = 'Alice has a phone\nAlice follows\nexpect Alice\'s phone to show "money"\n'
    done = run(sim, story, tmp_path, "--patience", "0.1")
    assert done.returncode == 1
    assert done.stderr.startswith("✗ line 3: expect Alice's phone to show")
    unreadable = run(sim, "Alice dances\n", tmp_path)
    assert (unreadable.returncode, unreadable.stderr) == (
        2,
        "✗ line 1: cannot read: Alice dances\n",
    )


def test_a_push_that_is_refused_ends_the_story_unless_expected(
    sim: Sim, callback: Callback
) -> None:
    sim.control("faults", push_deliveries=1)
    callback.answer = lambda _: (500, "")
    sim.control("users", name="Alice")
    played(sim, "Alice follows\nexpect no answer\n")
    with pytest.raises(UntrueError, match="did not accept the push"):
        played(sim, "Alice unfollows\n")
    callback.answer = lambda _: (200, "")
    with pytest.raises(UntrueError, match="has answered"):
        played(sim, "Alice follows\nexpect no answer\n")
    sim.control("faults", off=True)


def test_a_rate_that_happens_once_does_not_happen_again(sim: Sim) -> None:
    played(sim, "fault busy_rate once\n")
    token = {"grant_type": "client_credential", "appid": "x", "secret": "y"}
    codes = [sim.api("/cgi-bin/stable_token", token)["errcode"] for _ in range(2)]
    assert codes == [-1, 40013]
    sim.control("faults", off=True)


@pytest.mark.parametrize(
    "mistake", ["Alice", "clock 7 days", 'expect Bob\'s phone to show image text "x"', "faults"]
)
def test_a_wrong_line_is_named_before_anything_happens(mistake: str) -> None:
    with pytest.raises(MistakeError, match="line 2"):
        parse(f"Alice follows\n{mistake}\n")


def test_every_sentence_of_the_help_can_be_read() -> None:
    lines = [line.partition("   ")[0] for line in HELP.splitlines()]
    assert len(parse("\n".join(lines))) == len(lines)
