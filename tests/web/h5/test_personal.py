"""Name, notices, personal data, 申诉, and the JS-SDK's signature."""

from __future__ import annotations

import pytest

from domain import disputes, members
from domain.models import Member
from tests.web.h5.conftest import Village
from wechat import jssdk


def member_of(village: Village, name: str = "mei") -> Member:
    found = village.member(name)
    assert found is not None
    return found


def test_name_is_kept_as_it_can_be_shown(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    token = phone.csrf()
    assert phone.post("profile", token, nickname=" \u202e梅\n子 ").status_code == 302
    assert member_of(village).nickname == "梅 子"
    assert phone.post("profile", token, nickname="\u200b\u200b").status_code == 422


def test_notices_are_switched_off_and_on(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    token = phone.csrf()
    phone.post("notices", token, notices="off")
    assert member_of(village).muted
    assert 'aria-checked="false"' in phone.open("notices").text
    phone.post("notices", token, notices="on")
    assert not member_of(village).muted


def test_member_takes_along_everything_about_them_and_nobody_else(village: Village) -> None:
    village.full_of_life()
    keyring = village.paying.context.keyring
    member_id = village.paying.member_id("mei")
    village.database.transact(
        lambda s: members.set_contact(s, keyring, member_id, phone="13800000000", real_name="张三")
    )
    answer = village.phone("mei").open("privacy/export.json")
    assert "attachment" in answer.headers["Content-Disposition"]
    content = answer.json
    assert content is not None
    assert content["member"][0]["phone"] == "13800000000"
    assert content["member"][0]["real_name"] == "张三"
    assert len(content["commission"]) == 10
    assert {one["reason"] for one in content["posting"]} == {"accrue", "settle"}
    for other in ("f0", "f7"):
        assert f'"{other}"' not in answer.text


def test_erasing_takes_the_person_out_of_the_books_and_signs_them_out(village: Village) -> None:
    village.person("mei", 5_000)
    keyring, member_id = village.paying.context.keyring, village.paying.member_id("mei")
    village.database.transact(
        lambda s: members.set_contact(
            s, keyring, member_id, phone="13800000000", email="a@b.cn", real_name="张三"
        )
    )
    first, second = village.phone("mei"), village.phone("mei")
    second.open("")
    token = first.csrf()
    assert first.post("privacy/erase", token).status_code == 302
    assert member_of(village).real_name is not None
    answer = first.post("privacy/erase", token, sure="yes")
    assert "已删除" in answer.text
    member = member_of(village)
    assert [member.nickname, member.phone, member.email, member.real_name] == [None] * 4
    assert village.paying.balance("mei") == (5_000, 0)
    assert first.get("").status_code == second.get("").status_code == 302
    assert len(village.paying.audited("personal_data_erased")) == 1
    assert (
        first.open("").status_code == 200
    )  # signed in again: the notices of before have no words any more


def test_nothing_is_erased_while_money_is_on_its_way(village: Village) -> None:
    village.person("mei", 5_000)
    village.paying.ask(1_000, "mei")
    phone = village.phone("mei")
    phone.post("profile", phone.csrf(), nickname="梅子")
    phone.post("privacy/erase", phone.csrf(), sure="yes")
    assert "您有提现正在处理" in phone.open("privacy").text
    assert member_of(village).nickname == "梅子"


def test_dispute_is_opened_once_and_added_to(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    form = phone.form("dispute")
    for _ in range(2):
        assert phone.post("dispute", **form, evidence="小王是我邀请的").status_code == 302
    phone.post("dispute", **phone.form("dispute"), evidence="有聊天记录")
    dispute = village.database.read(
        lambda s: disputes.latest_of(s, village.paying.member_id("mei"))
    )
    assert dispute is not None
    notes = village.database.read(lambda s: disputes.notes_of(s, dispute.id))
    assert [note.body for note in notes] == ["小王是我邀请的", "有聊天记录"]
    page = phone.open("dispute").text
    assert "核实中" in page
    assert "有聊天记录" in page


@pytest.mark.parametrize(
    ("text", "said"), [("", "请写下"), (" \n ", "请写下"), ("长" * 1001, "太长了")]
)
def test_dispute_without_words_or_with_too_many_is_refused(
    village: Village, text: str, said: str
) -> None:
    village.person("mei")
    phone = village.phone("mei")
    answer = phone.post("dispute", **phone.form("dispute"), evidence=text)
    assert answer.status_code == 422
    assert said in answer.text


def test_signature_is_over_the_page_in_the_address_bar(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    url = f"{village.paying.context.settings.server.public_url}/m/tea/withdrawals/1?x=%E4%BA%8C"
    phone.open("")
    answer = phone.client.get(
        "/m/tea/js-config", query_string={"url": url + "#top"}, headers={"User-Agent": phone.agent}
    )
    made = answer.json
    assert made is not None
    ticket = village.paying.context.platform(village.account).tickets.current().value
    signed = jssdk.signature(ticket, made["nonceStr"], made["timestamp"], url)
    assert made["signature"] == signed
    assert made["appId"] == village.account.app_id
    assert ticket not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "", "https://evil.example/m/tea/", "{public}/m/other/", "{public}.evil.example/m/tea/",
        "{public}@evil.example/m/tea/", "javascript:1", "{public}/m/tea/" + "x" * 2000,
        "//[",
    ],
)  # fmt: skip
def test_nobody_borrows_our_signature_for_another_page(village: Village, url: str) -> None:
    village.person("mei")
    phone = village.phone("mei")
    phone.open("")
    wanted = url.format(public=village.paying.context.settings.server.public_url)
    answer = phone.client.get(
        "/m/tea/js-config", query_string={"url": wanted}, headers={"User-Agent": phone.agent}
    )
    assert answer.status_code == 400
