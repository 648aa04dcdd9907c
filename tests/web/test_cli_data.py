"""What the commands of members, disputes, statistics, import and backup print and leave behind."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner

from app import app_of
from clock import Clock
from config import Settings
from context import Context
from domain import disputes
from domain.accounts import OpenAccount
from domain.db import Database
from domain.secrets import Keyring
from tests.support.databases import Schemas
from tests.support.servers import MASTER_KEY
from tests.web.conftest import Merchant
from tests.web.test_cli import done, refusal


@pytest.fixture
def merchant(live_database: Database, tmp_path: Path) -> Merchant:
    """Real commits: snapshots and long runs open transactions of their own."""
    return _merchant(live_database, tmp_path)


def _merchant(database: Database, tmp_path: Path) -> Merchant:
    settings = Settings.model_validate(
        {
            "server": {"public_url": "http://127.0.0.1:8220"},
            "secrets": {"key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
            "redis": {"url": "redis://127.0.0.1:1"},
            "data": {"dir": str(tmp_path / "data")},
            "database": {"url": database.url},
        }
    )
    clock_file = tmp_path / "clock.json"
    context = Context(settings, database, database, Keyring(MASTER_KEY), Clock(file=clock_file))
    return Merchant(context, clock_file)


@pytest.fixture
def runner(merchant: Merchant, account: OpenAccount) -> FlaskCliRunner:
    """On the line grand ← parent ← child ← buyer."""
    return app_of(merchant.context).test_cli_runner()


def run(runner: FlaskCliRunner, *args: str | Path) -> Any:
    return runner.invoke(args=[str(one) for one in args])


def test_member_is_rebound_and_cleared_with_a_reason(runner: FlaskCliRunner) -> None:
    rebound = done(
        run(
            runner,
            "member",
            "rebind",
            "--account",
            "tea",
            "buyer",
            "--to",
            "grand",
            "--reason",
            "电话核实",
        )
    )
    assert (rebound["changed"], rebound["move"]) == (True, None)
    assert (
        done(run(runner, "member", "show", "--account", "tea", "buyer"))["referrer"]["openid"]
        == "grand"
    )
    done(
        run(runner, "member", "clear-referrer", "--account", "tea", "buyer", "--reason", "本人要求")
    )
    assert done(run(runner, "member", "show", "--account", "tea", "buyer"))["referrer"] is None
    cycle = run(
        runner, "member", "rebind", "--account", "tea", "grand", "--to", "child", "--reason", "x"
    )
    assert "reason=cycle" in refusal(cycle)
    assert done(run(runner, "members", "moves", "--account", "tea", "--finish")) == {"moves": []}
    assert done(run(runner, "members", "check"))["ok"]


def test_tree_is_repaired_and_the_command_says_what_was_changed(
    runner: FlaskCliRunner, merchant: Merchant
) -> None:
    merchant.database.transact(
        lambda s: s.connection().exec_driver_sql("DELETE FROM relation WHERE level = 2")
    )
    broken = run(runner, "members", "check")
    assert broken.exit_code == 1
    mended = done(run(runner, "members", "check", "--repair"))
    assert (mended["ok"], mended["repaired"]["closure_rows_changed"]) == (True, 2)


def test_dispute_is_listed_and_decided(
    runner: FlaskCliRunner, merchant: Merchant, account: OpenAccount
) -> None:
    now = merchant.context.clock.now()
    merchant.database.transact(
        lambda s: disputes.open_or_add(
            s, account, "grand", "buyer 是我邀请的", push_key="m1", now=now
        )
    )
    listed = done(run(runner, "dispute", "list", "--account", "tea"))["disputes"]
    assert listed[0]["notes"][0]["body"] == "buyer 是我邀请的"
    number = str(listed[0]["id"])
    decided = done(
        run(
            runner, "dispute", "decide", "--account", "tea", number, "--uphold", "--answer", "属实",
            "--friend", "buyer",
        )
    )  # fmt: skip
    assert decided["state"] == "upheld"
    assert (
        done(run(runner, "member", "show", "--account", "tea", "buyer"))["referrer"]["openid"]
        == "grand"
    )
    again = run(
        runner, "dispute", "decide", "--account", "tea", number, "--reject", "--answer", "不"
    )
    assert "decided_already" in refusal(again)


def test_days_rankings_and_the_compliance_record(runner: FlaskCliRunner, tmp_path: Path) -> None:
    assert (
        done(run(runner, "report", "refresh", "--account", "tea", "--since", "2026-11-01"))["daily"]
        > 0
    )
    days = done(run(runner, "report", "days", "--account", "tea"))
    assert sum(day["people"] for day in days["days"]) == 4
    assert days["levels"]["1"]["people"] == 3
    child = done(run(runner, "report", "days", "--account", "tea", "--member", "child"))
    assert [(day["level"], day["people"]) for day in child["days"]] == [(1, 1)]
    ranking = done(run(runner, "report", "ranking", "--account", "tea", "--metric", "people"))
    assert [one["place"] for one in ranking["leaders"]] == [1, 1, 1]
    out = tmp_path / "record.jsonl"
    done(
        run(
            runner,
            "report",
            "compliance",
            "--account",
            "tea",
            "--since",
            "2020-01-01T00:00:00+08:00",
            "--out",
            out,
        )
    )
    assert json.loads(out.read_text().splitlines()[-1])["entry"] == "end"
    again = run(
        runner,
        "report",
        "compliance",
        "--account",
        "tea",
        "--since",
        "2020-01-01T00:00:00Z",
        "--out",
        out,
    )
    assert "FileExistsError" in refusal(again)


def test_statement_is_written_for_excel(runner: FlaskCliRunner, tmp_path: Path) -> None:
    out = tmp_path / "grand.csv"
    done(run(runner, "member", "statement", "--account", "tea", "grand", "--out", out))
    assert len(list(csv.reader(io.StringIO(out.read_text("utf-8-sig"))))) == 1
    assert out.stat().st_mode & 0o777 == 0o600


def test_import_runs_dry_and_then_for_good(runner: FlaskCliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "users.csv").write_text(
        "id,openid,parent_id,balance\n1,o-1,0,1.00\n2,o-2,1,2.00\n3,,9,0\n"
    )
    command = ("import", "run", "--account", "tea", "--source", "old", "--folder", folder)
    dry = run(runner, *command, "--dry-run")
    assert (dry.exit_code, json.loads(dry.stdout)["problems"]) == (1, {"orphan": 1})
    assert "import_has_problems" in refusal(run(runner, *command))
    outcome = done(run(runner, *command, "--accept-problems"))
    assert outcome["in_the_books"]["balance_fen"] == 300
    claimed = done(
        run(runner, "import", "claim", "--account", "tea", "--source", "old", "3", "o-3")
    )
    assert claimed["openid"] == "o-3"
    url = tmp_path / "url"
    url.write_text("sqlite:///nothing")
    both = run(runner, *command, "--database-url-file", url)
    assert both.exit_code == 2


def test_backup_and_restore(
    runner: FlaskCliRunner, tmp_path: Path, schemas: Schemas, merchant: Merchant
) -> None:
    file = tmp_path / "shop.banyan"
    made = done(run(runner, "backup", file))
    assert made["rows"] > 10
    assert "exists already" in refusal(run(runner, "backup", file))
    assert "not empty" in refusal(run(runner, "restore", file))
    fresh = Database(schemas.fresh("sqlite", "cli"))
    other = app_of(_merchant(fresh, tmp_path).context).test_cli_runner()
    assert done(run(other, "restore", file))["rows"] == made["rows"]
    assert done(run(other, "members", "check"))["members"] == 4
    fresh.dispose()
