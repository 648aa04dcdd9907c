"""The notify address: what is committed before 200, what is refused, and that nothing is ever counted twice."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
import requests
from sqlalchemy.exc import OperationalError

from app import app_of
from domain import notices, payouts
from domain.db import Database
from tests.support.paying import Paying
from tests.support.waiting import until
from wechat import pay


@pytest.fixture
def cai(paying: Paying) -> Paying:
    """cai, who has 100 yuan."""
    paying.person("cai", 10_000)
    return paying


def caught(paying: Paying, number: int, act: str = "confirm") -> dict[str, Any]:
    """The genuine notice about the end of a payout, taken off the wire before we saw it."""
    paying.door.is_shut = True
    paying.act(number, act)
    until(lambda: paying.door.kept)
    paying.door.is_shut = False
    kept: dict[str, Any] = paying.door.kept.pop()
    return kept


def send(paying: Paying, notice: dict[str, Any], slug: str = "tea") -> requests.Response:
    url = f"{paying.context.settings.server.public_url}/pay/{slug}/notify"
    return requests.post(
        url, data=notice["body"].encode(), headers=notice["headers"], timeout=20, allow_redirects=False
    )  # fmt: skip


def test_200_means_that_it_is_in_the_books(cai: Paying) -> None:
    number = cai.pay()
    answer = send(cai, caught(cai, number))
    assert (answer.status_code, cai.status(number)) == (200, "paid")
    assert cai.balance() == (5_000, 0)
    cai.check()


def test_the_same_notice_again_changes_nothing(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    assert [send(cai, notice).status_code for _ in range(3)] == [200, 200, 200]
    assert cai.balance() == (5_000, 0)
    assert cai.told(notices.WITHDRAWAL_PAID) == 1
    cai.check()


def test_two_lines_that_bring_the_same_notice_at_once_count_it_once(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(send(cai, notice).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 503 would be repeated by WeChat Pay, and is harmless.
    assert set(answers) <= {200, 503}
    assert 200 in answers
    assert cai.balance() == (5_000, 0)
    assert cai.told(notices.WITHDRAWAL_PAID) == 1
    cai.check()


def test_a_notice_of_yesterday_is_not_accepted_today(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    cai.later(301)
    answer = send(cai, notice)
    assert (answer.status_code, answer.json()["code"]) == (401, "FAIL")
    assert cai.status(number) == "paying"


@pytest.mark.parametrize(
    "change",
    [
        {"Wechatpay-Signature": "AAAA"},
        {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/AAAA"},
        {"Wechatpay-Serial": "PUB_KEY_ID_SOMEBODY"},
        {"Wechatpay-Signature-Type": ""},
        {"Wechatpay-Nonce": "other"},
        {"Wechatpay-Timestamp": "0"},
    ],
)
def test_a_forgery_is_refused_and_changes_nothing(cai: Paying, change: dict[str, str]) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    forged = {**notice, "headers": {**notice["headers"], **change}}
    assert send(cai, forged).status_code == 401
    assert cai.status(number) == "paying"
    assert send(cai, notice).status_code == 200


def test_a_changed_body_is_refused(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    assert send(cai, {**notice, "body": notice["body"] + " "}).status_code == 401
    assert send(cai, {"headers": {}, "body": ""}).status_code == 401
    assert send(cai, {"headers": {}, "body": "x" * 70_000}).status_code == 413
    assert cai.status(number) == "paying"


def test_a_notice_that_does_not_say_how_long_it_is_is_read_no_further_than_a_notice_goes(
    cai: Paying,
) -> None:
    """Chunked, as our server hands it on: without a length, to its end."""
    body = io.BytesIO(b"{" + b" " * 200_000)
    answer = app_of(cai.context).test_client().post(
        "/pay/tea/notify", input_stream=body,
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )  # fmt: skip
    assert answer.status_code == 401
    assert body.tell() == pay.NOTICE_BYTES


def test_an_account_that_is_none_has_no_notices(cai: Paying) -> None:
    number = cai.pay()
    assert send(cai, caught(cai, number), "coffee").status_code == 404


def test_a_notice_while_the_database_is_away_is_asked_for_again(
    cai: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = cai.pay()
    notice = caught(cai, number)

    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("UPDATE", {}, Exception("gone"))

    monkeypatch.setattr(Database, "transact", away)
    answer = send(cai, notice)
    assert (answer.status_code, answer.json()["code"]) == (503, "FAIL")
    monkeypatch.undo()
    assert cai.status(number) == "paying"
    assert send(cai, notice).status_code == 200
    cai.check()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE withdrawal SET amount_fen = amount_fen + 1",
        "UPDATE withdrawal SET terms = REPLACE(terms, '1900000109', '1900000999')",
        "UPDATE member SET openid = 'somebody' WHERE openid = 'cai'",
    ],
)
def test_a_notice_that_does_not_agree_with_our_order_is_an_alarm(cai: Paying, damage: str) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    cai.database.transact(lambda s: s.connection().exec_driver_sql(damage))
    for _ in range(2):
        assert send(cai, notice).status_code == 400
    row = cai.get(number)
    assert (row.status, row.alarm) == ("paying", "mismatch")
    assert len(cai.audited("payout_alarm")) == 1


def test_a_notice_about_a_number_that_is_not_ours_is_an_alarm(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    cai.database.transact(
        lambda s: s.connection().exec_driver_sql("UPDATE withdrawal SET payout_no = 'X'")
    )
    assert send(cai, notice).status_code == 400
    (written,) = cai.audited("payout_alarm")
    assert json.loads(written)["alarm"] == "unknown_number"
    assert cai.status(number) == "paying"


def test_a_notice_that_contradicts_the_books_is_an_alarm_and_repairs_nothing(cai: Paying) -> None:
    number = cai.pay()
    notice = caught(cai, number)
    news = payouts.ProviderNews("FAIL", "b", reason="OVERDUE_CLOSE")
    cai.database.transact(lambda s: payouts.record_news(s, cai.account, number, news, cai.now))
    assert send(cai, notice).status_code == 400
    row = cai.get(number)
    assert (row.status, row.alarm) == ("failed", "contradiction")
    assert cai.balance() == (10_000, 0)


def test_probes_doubled_and_lost_notices_end_in_one_payment(cai: Paying) -> None:
    cai.faults(signtest_rate=1, notice_copies=3)
    number = cai.pay()
    cai.act(number, "confirm")
    until(lambda: cai.status(number) == "paid", 10)
    until(lambda: len(cai.bill(number)["notices"]) == 5, 10)
    seen = cai.bill(number)["notices"]
    assert [each["status"] for each in seen if each["probe"]] == [401]
    assert {each["status"] for each in seen if not each["probe"]} <= {200, 503}
    assert cai.balance() == (5_000, 0)
    cai.check()


def test_a_phone_cannot_say_that_it_received_the_money(cai: Paying) -> None:
    """likeshop marks a withdrawal as paid because the page says so. Here no address of ours moves a payout but the
    signed notice: every other path under /pay is unknown."""
    number = cai.pay()
    base = cai.context.settings.server.public_url
    for path in ("/pay/tea/received", f"/pay/tea/{number}/confirm", "/pay/tea/notify"):
        answer = requests.post(
            f"{base}{path}", json={"id": number, "status": "SUCCESS"}, timeout=10
        )
        assert answer.status_code in {401, 404}
    assert cai.status(number) == "paying"
