"""提现 on the pages: once, with its costs said before, and believed only when our server was told."""

from __future__ import annotations

import html
import re

import pytest

from domain import promoters, proof, withdrawals
from domain.models import Withdrawal
from tests.web.h5.conftest import Village
from tests.web.h5.phone import Phone


def rows_of(village: Village, name: str = "mei") -> list[Withdrawal]:
    member_id = village.paying.member_id(name)
    return village.database.read(lambda s: withdrawals.of_member(s, member_id, 50))


def ask(phone: Phone, yuan: str) -> tuple[dict[str, str], str]:
    """Look at an amount and send the form; the form and where it led."""
    form = phone.form(f"withdraw?amount={yuan}")
    answer = phone.post("withdraw", **form)
    assert answer.status_code == 302, answer.text
    return form, answer.headers["Location"]


@pytest.fixture
def mei(village: Village) -> Phone:
    village.person("mei", 50_000)
    return village.phone("mei")


def test_costs_are_said_before_anything_is_asked(village: Village, mei: Phone) -> None:
    village.set(withdraw_fee_bps=60, withdraw_tax_bps=2000)
    page = mei.open("withdraw").text
    assert "0.6%" in page
    assert "20%" in page
    second = mei.open("withdraw?amount=100").text
    shown = re.findall(r"¥</small>([0-9.]+)|−¥([0-9.]+)", second)
    assert shown == [("79.40", ""), ("", "0.60"), ("", "20.00")]
    assert rows_of(village) == []


def test_thousands_are_grouped_to_be_read_and_plain_to_be_sent(village: Village) -> None:
    village.person("rich", 1_234_567)
    rich = village.phone("rich")
    page = rich.open("withdraw").text
    assert "12,345.67" in page
    everything = re.search(r'href="/m/tea/(withdraw\?amount=[^"]+)"', page)
    assert everything is not None
    form = rich.form(everything[1])
    assert form["amount"] == "12345.67"
    assert "¥12,345.67" in rich.open(everything[1]).text


def test_form_sent_twice_is_one_withdrawal(village: Village, mei: Phone) -> None:
    form, first = ask(mei, "50")
    again = mei.post("withdraw", **form)
    assert again.headers["Location"] == first
    assert len(rows_of(village)) == 1
    assert village.paying.balance("mei") == (45_000, 5_000)


def test_form_with_another_amount_under_its_token_is_refused(village: Village, mei: Phone) -> None:
    form, _ = ask(mei, "50")
    answer = mei.post("withdraw", **{**form, "amount": "60"})
    assert answer.status_code == 409
    assert len(rows_of(village)) == 1


def test_two_looks_are_two_withdrawals(village: Village, mei: Phone) -> None:
    ask(mei, "50")
    ask(mei, "50")
    assert len(rows_of(village)) == 2


def test_token_of_one_member_is_no_key_to_anothers(village: Village, mei: Phone) -> None:
    village.person("eve", 50_000)
    form, _ = ask(mei, "50")
    eve = village.phone("eve")
    answer = eve.post("withdraw", **{**form, "csrf_token": eve.csrf()})
    assert answer.status_code == 302
    assert len(rows_of(village)) == len(rows_of(village, "eve")) == 1


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.5", "一次可以提现"), ("600", "不够提现"), ("abc", "没看懂金额"), ("5e1", "没看懂金额"),
        ("-5", "没看懂金额"), ("1,000", "没看懂金额"), ("50.505", "没看懂金额"),
        ("９９９９９９９", "一次可以提现"),
    ],
)  # fmt: skip
def test_amount_that_will_not_do_is_told_why(
    village: Village, mei: Phone, amount: str, said: str
) -> None:
    answer = mei.client.get(
        "/m/tea/withdraw", query_string={"amount": amount}, headers={"User-Agent": mei.agent}
    )
    if answer.status_code == 302:
        mei.open("")
        answer = mei.client.get(
            "/m/tea/withdraw", query_string={"amount": amount}, headers={"User-Agent": mei.agent}
        )
    assert answer.status_code == 422
    assert said in answer.text
    posted = mei.post("withdraw", mei.csrf(), amount=amount, token="t" * 20)
    assert posted.status_code == 422
    assert said in posted.text
    assert rows_of(village) == []


@pytest.mark.parametrize("token", ["", "short", "a b" * 10, "x" * 70, "é" * 20])
def test_token_of_nobodys_making_is_refused(village: Village, mei: Phone, token: str) -> None:
    assert mei.post("withdraw", mei.csrf(), amount="50", token=token).status_code == 422
    assert rows_of(village) == []


def test_limits_of_the_day_hold(village: Village, mei: Phone) -> None:
    village.set(withdraw_per_day=1)
    ask(mei, "50")
    form = mei.form("withdraw?amount=50")
    answer = mei.post("withdraw", **form)
    assert answer.status_code == 422
    assert "每天最多提现 1 次" in answer.text


def test_large_amount_needs_the_real_name_which_is_never_shown(village: Village) -> None:
    village.person("rich", 400_000)
    rich = village.phone("rich")
    form = rich.form("withdraw?amount=2500")
    answer = rich.post("withdraw", **form)
    assert answer.status_code == 422
    assert "真实姓名" in answer.text
    token = rich.csrf()
    assert rich.post("real-name", token, name="<b>张三</b>").status_code == 422
    assert rich.post("real-name", token, name="张三丰").status_code == 302
    member = village.member("rich")
    assert member is not None
    assert member.real_name is not None
    assert "张三丰".encode() not in member.real_name
    for page in ("real-name", "more", "withdraw", ""):
        assert "张三丰" not in rich.open(page).text
    assert rich.post("withdraw", **form).status_code == 302


def test_progress_tells_each_step_until_it_is_paid(village: Village, mei: Phone) -> None:
    village.set(audit_above_fen=0)
    _, where = ask(mei, "50")
    number = int(where.rsplit("/", 1)[1])
    assert "待审核" in mei.open(where).text
    village.database.transact(
        lambda s: withdrawals.approve(s, village.account, number, actor="staff", now=village.now)
    )
    assert "等待打款" in mei.open(where).text
    village.paying.drain()
    page = mei.open(where).text
    assert "请在微信里确认收款" in page
    assert html.unescape(page).count(village.paying.get(number).package_info or "?") == 1
    assert "确认收款" in mei.open("withdrawals").text
    village.paying.act(number, "confirm")
    village.paying.sweep_later()
    page = mei.open(where).text
    assert "已打款" in page
    assert "data-package" not in page
    assert mei.open(f"{where}/state").json == {
        "status": "paid", "waiting": False, "text": mei.open(f"{where}/state").json["text"]  # type: ignore[index]
    }  # fmt: skip


def test_page_that_says_it_was_confirmed_is_not_believed(village: Village, mei: Phone) -> None:
    """Only asking soon comes of it: the books move when WeChat Pay itself says so."""
    _, where = ask(mei, "50")
    number = int(where.rsplit("/", 1)[1])
    village.paying.drain()
    answer = mei.post(f"{where}/ask", mei.csrf())
    assert answer.status_code == 302
    village.paying.sweep()
    assert village.paying.status(number) == "paying"
    assert village.paying.balance("mei") == (45_000, 5_000)
    village.paying.act(number, "confirm")
    mei.post(f"{where}/ask", mei.csrf())
    village.paying.sweep()
    assert village.paying.status(number) == "paid"
    assert village.database.read(proof.ledger_check).differences == []


def test_refusal_of_the_transfer_gives_the_money_back_with_a_reason(
    village: Village, mei: Phone
) -> None:
    _, where = ask(mei, "50")
    number = int(where.rsplit("/", 1)[1])
    village.paying.drain()
    village.paying.act(number, "refuse")
    village.paying.sweep_later()
    text = mei.open(where).text
    assert "没有成功" in text
    assert "金额已退回可提现" in text
    assert village.paying.balance("mei") == (50_000, 0)


def test_suspended_member_is_told_and_asks_for_nothing(village: Village, mei: Phone) -> None:
    form = mei.form("withdraw?amount=50")
    village.database.transact(
        lambda s: promoters.suspend(
            s, village.account.id, village.paying.member_id("mei"), actor="staff", reason="复核", now=village.now
        )
    )  # fmt: skip
    answer = mei.post("withdraw", **form)
    assert answer.status_code == 422
    assert "推广资格已暂停" in answer.text


def test_long_list_has_pages(village: Village, mei: Phone) -> None:
    for number in range(23):
        village.paying.ask(1_000, "mei", token=f"t{number}")
    first = mei.open("withdrawals").text
    assert len(re.findall(r'class="row-link" href="/m/tea/withdrawals/\d+"', first)) == 20
    more = re.search(r'href="(/m/tea/withdrawals\?before=\d+)"', first)
    assert more is not None
    second = mei.open(more[1]).text
    assert len(re.findall(r'class="row-link" href="/m/tea/withdrawals/\d+"', second)) == 3
