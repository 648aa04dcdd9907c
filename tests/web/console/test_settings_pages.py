"""Settings: every one has words, wrong ones change nothing, risky ones are said first, all are audited."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from typing import Any

import pytest
from sqlalchemy import select

from domain import accounts, commissions, merchants
from domain.accounts import Settings
from domain.models import Audit
from tests.support.paying import API_V3_KEY, key_pair
from tests.web.console.browser import Browser, Console
from tests.web.console.world import SCRIPT, World
from web.console.setting_fields import GROUPS, Group, Wrong, group_of

UNCHECKED = "unchecked"


def settings_of(console: Console) -> Settings:
    return console.merchant.database.read(lambda s: accounts.settings_of(accounts.get(s, "tea")))


def form(group: Group, settings: Settings, **changes: str) -> dict[str, str]:
    """What a browser sends for the page of a group: a switch that is off sends nothing."""
    now = asdict(settings)
    shown = {one.name: one.shown(now[one.name]) for one in group.fields}
    sent = {name: text for name, text in shown.items() if now[name] is not False}
    sent |= {"group": group.code} | changes
    return {name: text for name, text in sent.items() if text != UNCHECKED}


def save(browser: Browser, console: Console, code: str, **changes: str) -> Any:
    return browser.post(
        "/console/tea/settings/save", **form(group_of(code), settings_of(console), **changes)
    )


def last_change(console: Console) -> Audit:
    query = select(Audit).where(Audit.action == "settings_changed").order_by(Audit.id.desc())
    return console.merchant.database.read(lambda s: s.scalars(query.limit(1)).one())


def test_every_setting_has_its_words_in_one_place() -> None:
    named = [name for group in GROUPS for name in group.names()]
    elsewhere = ("risk", "commissions_stopped")  # other pages change these
    assert sorted([*named, *elsewhere]) == sorted(one.name for one in fields(Settings))
    for one in (one for group in GROUPS for one in group.fields):
        assert one.title.chinese
        assert one.help.chinese
        assert (one.is_risky is None) == (one.warning is None), one.name


def test_what_a_page_shows_is_saved_as_it_is(console: Console, boss: Browser) -> None:
    before = settings_of(console)
    for group in GROUPS:
        assert boss.get("/console/tea/settings", group=group.code).status_code == 200
        save(boss, console, group.code)
        assert "没有任何改动" in boss.said(), group.code
    assert settings_of(console) == before


def test_change_is_kept_with_before_and_after(console: Console, boss: Browser) -> None:
    save(boss, console, "withdrawals", withdraw_min_fen="5", withdraw_fee_bps="0.6")
    assert "已保存 2 项" in boss.said()
    found = settings_of(console)
    assert (found.withdraw_min_fen, found.withdraw_fee_bps) == (500, 60)
    note = last_change(console)
    assert note.actor == "staff:boss"
    assert json.loads(note.before or "") == {"withdraw_min_fen": 100, "withdraw_fee_bps": 0}
    assert json.loads(note.after or "") == {"withdraw_min_fen": 500, "withdraw_fee_bps": 60}


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        ("withdrawals", "withdraw_min_fen", "1.234"),
        ("withdrawals", "withdraw_min_fen", "-1"),
        ("withdrawals", "withdraw_max_fen", "0.50"),
        ("withdrawals", "withdraw_fee_bps", "100"),
        ("withdrawals", "withdraw_fee_bps", "100.01"),
        ("withdrawals", "withdraw_per_day", "many"),
        ("withdrawals", "payout_method", "cash"),
        ("notices", "digest_hour", "24"),
        ("notices", "digest_hour", "²"),
        ("notices", "alert_webhook", "ftp://x"),
        ("notices", "alert_openids", "公众号"),
        ("pages", "permanent_pool", "100001"),
        ("pages", "product_url", "https://shop.example/no-place"),
        ("pages", "support_contact", "字" * 101),
        ("commissions", "max_total_bps", "0"),
        ("commissions", "qualification", "spent"),
        ("commissions", "debt_cap_fen", SCRIPT),
    ],
)
def test_wrong_value_is_named_and_nothing_is_saved(
    console: Console, boss: Browser, code: str, name: str, text: str
) -> None:
    before = settings_of(console)
    answer = save(boss, console, code, **{name: text})
    assert answer.status_code == 422
    assert "till-wrong" in answer.text
    assert SCRIPT not in answer.text
    assert settings_of(console) == before


@pytest.mark.parametrize(
    ("code", "name", "text", "words"),
    [
        ("commissions", "registration_reward_fen", "1", "按人头给钱"),
        ("commissions", "max_total_bps", "45", "高额返利"),
        ("commissions", "qualification", "first_order", "入门费"),
        ("commissions", "freeze_from", "paid", "追回"),
        ("binding", "self_purchase", "1", "变相返利"),
        ("binding", "bind_policy", "last_touch", "互相抢人"),
        ("withdrawals", "audit_above_fen", "50", "不经人看"),
        ("compliance", "mask_names", UNCHECKED, "个人信息保护法"),
        ("compliance", "chain_people_alert", "100", "立案"),
    ],
)
def test_risky_value_is_saved_only_when_its_warning_was_read(
    console: Console, boss: Browser, code: str, name: str, text: str, words: str
) -> None:
    before = settings_of(console)
    answer = save(boss, console, code, **{name: text})
    assert answer.status_code == 422
    assert "请先读完风险" in answer.text
    assert words in answer.text
    assert settings_of(console) == before
    [accepted] = re.findall(r'name="accepted" value="([^"]*)"', answer.text)
    other = save(boss, console, code, **{name: text, "understood": "1", "accepted": f"{name}=?"})
    assert "请先读完风险" in other.text, "what was accepted was something else"
    save(boss, console, code, **{name: text, "understood": "1", "accepted": accepted})
    assert "已保存 1 项" in boss.said()
    after = settings_of(console)
    assert after != before
    save(boss, console, code)
    assert "没有任何改动" in boss.said(), "a risk that was taken is not asked about again"


def test_only_owners_change_settings(console: Console, world: World) -> None:
    before = settings_of(console)
    for role in ("finance", "operator"):
        browser = console.as_role(world.account, role)
        html = browser.get("/console/tea/settings", group="withdrawals").text
        assert "disabled" in html
        assert save(browser, console, "withdrawals", withdraw_min_fen="5").status_code == 403
        assert browser.post("/console/tea/settings/stop", stop="1", reason="x").status_code == 403
    assert settings_of(console) == before


def test_switch_stops_settlement_and_lets_it_go_on(
    console: Console, world: World, boss: Browser
) -> None:
    boss.post("/console/tea/settings/stop", stop="1")
    assert "请写明原因" in boss.said()
    boss.post("/console/tea/settings/stop", stop="1", reason="规则配错了")
    assert settings_of(console).commissions_stopped
    assert "规则配错了" in (last_change(console).after or "")
    assert "结算已停止" in boss.get("/console/tea/settings", group="pages").text

    def settle(session: Any) -> int:
        account = accounts.unseal(accounts.get(session, "tea"), console.merchant.context.keyring)
        return commissions.settle_due(session, account, console.now)

    assert console.merchant.database.transact(settle) == 0
    boss.post("/console/tea/settings/stop", stop="0", reason="改好了")
    assert not settings_of(console).commissions_stopped


def test_readers_say_what_is_wrong_and_read_back_what_they_show() -> None:
    for one in (one for group in GROUPS for one in group.fields):
        value = getattr(Settings(), one.name)
        shown = one.shown(value)
        read = one.read(shown)
        assert (tuple(read) if isinstance(value, tuple) else read) == value, one.name
    with pytest.raises(Wrong):
        group_of("notices").fields[0].read("klingon")


# --- the merchant number --------------------------------------------------------------------------------------------


def keys(**changes: str) -> dict[str, str]:
    private, public = key_pair()
    given = {
        "mch_id": "1900000001", "serial_no": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "private_key": private,
        "api_v3_key": API_V3_KEY, "public_key_id": "PUB_KEY_ID_0000000001", "public_key": public, "scene_id": "1005",
        "report_infos": "岗位类型=推广员\n报酬说明=推广佣金",
    }  # fmt: skip
    return given | changes


def merchant_of(console: Console, world: World) -> Any:
    keyring = console.merchant.context.keyring
    return console.merchant.database.read(lambda s: merchants.find(s, keyring, world.account.id))


def test_keys_are_taken_with_the_line_ends_of_a_browser(
    console: Console, world: World, boss: Browser
) -> None:
    given = {name: text.replace("\n", "\r\n") for name, text in keys().items()}
    boss.post("/console/tea/merchant/save", **given)
    assert "已保存" in boss.said()
    assert "\r" not in merchant_of(console, world).private_key


def test_keys_go_in_and_never_come_out(console: Console, world: World, boss: Browser) -> None:
    boss.post("/console/tea/merchant/save", **keys())
    assert "已保存" in boss.said()
    html = boss.get("/console/tea/merchant").text
    assert "1900000001" in html
    assert API_V3_KEY not in html
    assert "PRIVATE KEY" not in html
    boss.post("/console/tea/merchant/save", **keys(private_key="", api_v3_key="", scene_id="1010"))
    found = merchant_of(console, world)
    assert found.scene_id == "1010"
    assert found.api_v3_key == API_V3_KEY, "what was left empty stays"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mch_id", "12", "商户号是 6 到 20 位"),
        ("api_v3_key", "short", "32 个字符"),
        ("private_key", "", "apiclient_key.pem"),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----", "apiclient_key.pem"),
        ("report_infos", "没有等号", "类型=内容"),
        ("public_key_id", "x", "PUB_KEY_ID_"),
    ],
)  # fmt: skip
def test_keys_that_are_none_are_not_kept_and_are_not_shown_again(
    console: Console, world: World, boss: Browser, name: str, text: str, words: str
) -> None:
    answer = boss.post("/console/tea/merchant/save", **keys(**{name: text}))
    assert answer.status_code == 422
    assert words in answer.text
    assert API_V3_KEY not in answer.text
    assert merchant_of(console, world) is None


def test_finance_sees_the_merchant_number_and_changes_nothing(
    console: Console, world: World, boss: Browser
) -> None:
    boss.post("/console/tea/merchant/save", **keys())
    finance = console.as_role(world.account, "finance")
    assert "1900000001" in finance.get("/console/tea/merchant").text
    assert finance.post("/console/tea/merchant/save", **keys()).status_code == 403
