"""`flask menu`, `reply`, `media`, `tag`, `blacklist`, `followers`, `member export` against the simulator."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner
from sqlalchemy import select

from app import app_of
from config import WeChatSection
from domain import replies
from domain.accounts import OpenAccount
from domain.db import Database
from domain.menu import default_menu
from domain.models import Audit
from domain.texts.zh_cn import TEXTS
from tests.support.servers import Simulator
from tests.web.conftest import Merchant
from tests.web.test_cli import done, refusal
from wechat import tags
from wechat.explained import EXPLAINED, explained


class Shell:
    """A shell of the merchant's, and the WeChat behind it."""

    def __init__(self, runner: FlaskCliRunner, simulator: Simulator, account: OpenAccount) -> None:
        self._runner = runner
        self.simulator = simulator
        self.account = account

    def __call__(self, *words: str, **options: Any) -> Any:
        head, rest = words[:2], words[2:]
        return self._runner.invoke(args=[*head, "--account", "tea", *rest], **options)

    def save(self, menu: dict[str, Any]) -> Any:
        return done(self("menu", "save", "-", input=json.dumps(menu, ensure_ascii=False)))

    def person(self, name: str) -> str:
        openid: str = self.simulator.post("/_sim/users", name=name)["openids"][self.account.app_id]
        self.simulator.post("/_sim/follow", user=openid, wait=False)
        return openid


@pytest.fixture
def shell(merchant: Merchant, account: OpenAccount, simulator: Simulator) -> Generator[Shell]:
    simulator.post(
        "/_sim/accounts", app_id=account.app_id, secret="secret", token="token1", aes_key="a" * 43, gh_id="gh_tea",
        name="tea", mode="safe", callback_url="http://127.0.0.1:9/wechat/tea",
    )  # fmt: skip
    sections = simulator.settings
    hosts = WeChatSection(
        api_base=sections["wechat.api_base"],
        mp_base=sections["wechat.mp_base"],
        open_base=sections["wechat.open_base"],
    )
    settings = merchant.context.settings.model_copy(update={"wechat": hosts})
    context = replace(merchant.context, settings=settings, _clients={})
    yield Shell(app_of(context).test_cli_runner(), simulator, account)
    context.redis.close()


def click(name: str) -> dict[str, Any]:
    return {"type": "click", "name": name, "key": name}


def conditional(name: str, tag: int, *buttons: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "tag_id": tag, "platform": None, "buttons": list(buttons)}


def test_a_menu_is_saved_pushed_compared_and_taken_away(shell: Shell) -> None:
    old, new = (done(shell("tag", "create", name))["tag_id"] for name in ("老客户", "新客"))
    for_old, for_new = conditional("老", old, click("明细")), conditional("新", new, click("帮助"))
    first = {"buttons": [click("我的团队")], "conditional": [for_old, for_new]}
    assert shell.save(first) == {"version": 1, "problems": []}
    before = shell("menu", "diff")
    assert before.exit_code == 1
    assert "还没有推送到微信" in json.loads(before.stdout)["differences"][0]["text"]
    pushed = done(shell("menu", "push"))
    assert (pushed["version"], pushed["added"], pushed["deleted"]) == (1, 2, 0)
    assert done(shell("menu", "diff")) == {"ok": True, "differences": []}
    again = done(shell("menu", "push"))
    assert (again["added"], again["deleted"], again["menu_ids"]) == (0, 0, pushed["menu_ids"])
    shell.save(first | {"conditional": [for_new, for_old]})
    turned = json.loads(shell("menu", "diff").stdout)
    assert [each["kind"] for each in turned["differences"]] == ["order"]
    assert done(shell("menu", "push"))["added"] == 2
    assert [each["tag_id"] for each in done(shell("menu", "fetch"))["conditional"]] == [new, old]
    shown = done(shell("menu", "show"))
    assert [each["version"] for each in shown["history"]] == [2, 1]
    assert all(each["pushed_by"] == "flask" for each in shown["history"])
    assert done(shell("menu", "delete"))["version"] == 3
    assert done(shell("menu", "fetch")) == {"buttons": [], "conditional": []}


def test_who_carries_the_tag_sees_the_other_menu(shell: Shell) -> None:
    tag = done(shell("tag", "create", "老客户"))["tag_id"]
    openid = shell.person("小明")
    shell.save({"buttons": [click("帮助")], "conditional": [conditional("老", tag, click("明细"))]})
    done(shell("menu", "push"))
    assert done(shell("menu", "try", openid))["buttons"][0]["key"] == "帮助"
    client = shell._runner.app.extensions["banyan"].platform(shell.account)
    tags.tag_people(client, tag, [openid])
    assert done(shell("menu", "try", openid))["buttons"][0]["key"] == "明细"


def test_a_menu_that_wechat_would_refuse_is_saved_but_not_pushed(shell: Shell) -> None:
    saved = shell.save({"buttons": [click("名字太长了放不下"), click("没人答")]})
    assert saved["problems"] == ["button[0].name: too_long (at most 16)"]
    assert "menu_refused" in refusal(shell("menu", "push"))
    assert done(shell("menu", "fetch"))["buttons"] == []
    fixed = shell.save({"buttons": [click("没人答")]})
    assert fixed["problems"] == ["button[0].key: answers_nothing"]
    assert done(shell("menu", "push"))["version"] == 2
    assert "invalid" in refusal(shell("menu", "save", "-", input="{"))


def test_a_fresh_account_pushes_the_usual_menu_as_its_first_version(shell: Shell) -> None:
    assert done(shell("menu", "push"))["menu"] == default_menu("http://127.0.0.1:8160/m/tea")
    assert done(shell("menu", "show"))["version"] == 1


def test_replies_are_added_tried_switched_and_removed(shell: Shell, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 30)
    media = done(shell("media", "add", "--kind", "image", str(picture)))["id"]
    added = done(
        shell(
            "reply",
            "add",
            "--keyword",
            "运费",
            "--matching",
            "contains",
            "--text",
            "包邮",
            "--media",
            str(media),
        )
    )
    assert [each["kind"] for each in added["messages"]] == ["text", "image"]
    tried = done(shell("reply", "test", "运费多少"))
    assert (tried["command"], tried["reply"]["id"]) == (None, added["id"])
    assert done(shell("reply", "test", "提现 50"))["command"] == "提现"
    assert "conflict" in refusal(shell("media", "remove", str(media)))
    done(shell("reply", "switch", str(added["id"]), "off"))
    assert done(shell("reply", "test", "运费多少"))["reply"] is None
    done(shell("reply", "remove", str(added["id"])))
    assert done(shell("reply", "list"))["replies"] == []
    done(shell("media", "remove", str(media)))
    assert "invalid" in refusal(
        shell("reply", "add", "--keyword", "(a+)+$", "--matching", "regex", "--text", "x")
    )
    wrong = shell("reply", "add", "--keyword", "x", "--messages", "-", input='[{"kind":"music"}]')
    assert "invalid" in refusal(wrong)


def test_a_reply_has_its_other_languages_from_the_shell(shell: Shell, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 30)
    media = done(shell("media", "add", "--kind", "image", str(picture)))["id"]
    cards = [{"kind": "text", "text": "免運費"}]
    written = tmp_path / "tw.json"
    written.write_text(json.dumps(cards, ensure_ascii=False), encoding="utf-8")
    add = ("reply", "add", "--keyword", "运费", "--text", "包邮")
    added = done(
        shell(
            *add, "--text-in", "en", "Free.", "--media-in", "en", str(media), "--text-in", "en", "Really.",
            "--messages-in", "zh-TW", str(written),
        )
    )  # fmt: skip
    assert [each["text"] for each in added["messages"]] == ["包邮"]
    assert [each.get("text") or each["media"] for each in added["variants"]["en"]] == [
        "Free.",
        "Really.",
        media,
    ]
    assert added["variants"]["zh-TW"] == cards
    assert done(shell("reply", "list"))["replies"] == [added]
    for words in (
        ("--text-in", "fr", "Gratuit."),
        ("--text-in", "en", "{price}"),
        ("--media-in", "en", "99"),
        ("--messages-in", "en", str(written), "--text-in", "en", "x"),
        ("--messages-in", "en", str(written), "--messages-in", "en", str(written)),
    ):
        refusal(shell(*add, *words))
    assert done(shell("reply", "list"))["replies"] == [added], "what is refused changes nothing"
    assert done(shell(*add))["variants"] == {}, "the command gives the whole reply"


def test_tags_rules_and_their_refusals(shell: Shell) -> None:
    rule = done(shell("tag", "rule", "bought", "yes", "老客户"))
    tag = done(shell("tag", "create", "老客户"))["tag_id"]
    listed = done(shell("tag", "list"))
    assert [each["tag_id"] for each in listed["rules"]] == [tag], "a rule finds its tag by name"
    assert "rule" in refusal(shell("tag", "delete", str(tag)))
    again = refusal(shell("tag", "create", "老客户"))
    assert "45157" in again
    assert "another tag has this name" in again
    done(shell("tag", "rename", str(tag), "熟客"))
    assert done(shell("tag", "list"))["rules"][0]["name"] == "熟客"
    done(shell("tag", "unrule", str(rule["id"])))
    done(shell("tag", "delete", str(tag)))
    assert "invalid" in refusal(shell("tag", "rule", "bought", "maybe", "x"))


def test_the_blacklist_is_wechats(shell: Shell, merchant: Merchant) -> None:
    one, two = shell.person("甲"), shell.person("乙")
    done(shell("blacklist", "add", one, two))
    assert sorted(done(shell("blacklist", "show"))["people"]) == sorted([one, two])
    done(shell("blacklist", "remove", one))
    assert done(shell("blacklist", "show"))["people"] == [two]
    assert "invalid" in refusal(shell("blacklist", "add", *(f"o{n}" for n in range(21))))


def test_a_sync_is_begun_and_shown(shell: Shell) -> None:
    assert done(shell("followers", "show"))["sync"] is None
    begun = done(shell("followers", "sync"))
    assert (begun["state"], begun["actor"]) == ("list", "flask")
    assert done(shell("followers", "show"))["sync"]["id"] == begun["id"]


def test_a_person_gets_their_data(shell: Shell) -> None:
    found = done(shell("member", "export", "buyer"))
    assert found["member"][0]["openid"] == "buyer"
    assert found["binding_history"]
    assert "not_found" in refusal(shell("member", "export", "nobody"))


def test_every_explained_code_has_its_sentence_for_the_console() -> None:
    assert {f"wechat.{code}" for code in EXPLAINED} - TEXTS.keys() == set()
    assert explained(None) is None
    assert explained(1) is None


def test_an_audit_line_is_left_by_every_change(shell: Shell, database: Database) -> None:
    shell.save({"buttons": [click("帮助")]})
    done(shell("reply", "add", "--keyword", "x", "--text", "y"))
    actions = database.read(lambda s: list(s.scalars(select(Audit.action))))
    assert {"menu_saved", "reply_added"} <= set(actions)
    assert database.read(lambda s: len(replies.all_of(s, shell.account.id))) == 1


def test_a_text_is_said_in_the_merchants_words_and_in_ours_again(shell: Shell) -> None:
    done_so = done(shell("text", "set", "follow.welcome", "欢迎！"))
    assert done_so == {"key": "follow.welcome", "missing": ["account"]}
    [one] = done(shell("text", "list"))["texts"]
    assert (one["key"], one["body"], one["unusable"]) == ("follow.welcome", "欢迎！", False)
    assert done(shell("text", "list", "--lang", "en"))["texts"] == []
    assert "invalid" in refusal(shell("text", "set", "follow.welcome", "{friend}"))
    assert "invalid" in refusal(shell("text", "set", "nothing", "x"))
    done(shell("text", "reset", "follow.welcome"))
    assert done(shell("text", "list"))["texts"] == []
