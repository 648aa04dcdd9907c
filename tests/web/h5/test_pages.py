"""Every page: who may see it, what it shows of others, and that nobody's words become markup."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.orm import Session

from domain import disputes, members, withdrawals
from domain.models import Balance
from tests.web.h5.conftest import Village

PAGES = (
    "", "earnings", "earnings?state=settled", "statement", "team", "team?level=2", "team?level=3", "ranking",
    "ranking?by=people&period=all", "withdraw", "withdraw?amount=10", "withdrawals", "real-name", "rules", "poster",
    "more", "profile", "notices", "privacy", "dispute",
)  # fmt: skip
FILES = ("statement.csv", "privacy/export.json", "js-config", "poster.jpg")
POSTS = (
    "withdraw",
    "real-name",
    "rules",
    "poster",
    "profile",
    "notices",
    "privacy/erase",
    "dispute",
    "logout",
)
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}{% raise %}", "${7*7}",
    "'; DROP TABLE member; --",
    "\u202egnp.exe", "A" * 190, "👩‍👩‍👧‍👦" * 30, "{here.account.app_secret}", "%s%n",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES[:12] + PAGES[14:] + FILES)
def test_stranger_is_sent_to_sign_in(village: Village, page: str) -> None:
    if page == "rules":
        assert village.phone("mei").get(page).status_code == 200
        return
    answer = village.phone("mei").get(page)
    assert answer.status_code == 302
    assert "/connect/oauth2/authorize" in answer.headers["Location"]


@pytest.mark.parametrize("page", POSTS)
def test_post_without_the_token_or_without_a_session_changes_nothing(
    village: Village, page: str
) -> None:
    village.person("mei", 5_000)
    phone = village.phone("mei")
    phone.open("")
    assert phone.post(page).status_code == 400
    token = phone.csrf()
    phone.client.delete_cookie("banyan_m_tea", path="/m/tea/")
    answer = phone.post(page, token)
    assert answer.status_code == (302 if page == "logout" else 401)
    assert village.paying.balance("mei") == (5_000, 0)
    member = village.member("mei")
    assert member is not None
    assert (member.muted, member.real_name, member.nickname) == (False, None, None)


def test_every_page_is_private_and_runs_no_script_but_ours_and_the_bridges(
    village: Village, shim_url: str
) -> None:
    village.full_of_life()
    phone = village.phone("mei")
    for page in PAGES:
        answer = phone.open(page)
        assert answer.status_code == 200, page
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
        assert f"script-src 'self' {shim_url.removesuffix('/jweixin.js')};" in policy
        assert "frame-ancestors 'none'" in policy
        assert re.findall(r"<script(?! src=)", answer.text) == []
        assert re.findall(r"\son[a-z]+=|\sstyle=|javascript:", answer.text) == []
        assert '"None"' not in answer.text


def test_names_and_words_of_others_are_text_on_every_page(village: Village) -> None:
    """Whatever people call themselves, write, or are written by staff."""
    village.set(mask_names=False, support_contact=HOSTILE[0])
    village.full_of_life()

    def hostile(session: Session) -> None:
        people = ("mei", "f0", "f1", "f2", "f4", "f5", "f6", "f7", "f8", "f10")
        for openid, name in zip(people, HOSTILE, strict=True):
            members.get(session, village.account.id, openid).nickname = name[:190]
        mei = members.get(session, village.account.id, "mei")
        for number, words in enumerate(HOSTILE):
            disputes.open_or_add(
                session, village.account, "mei", words, push_key=f"d{number}", now=village.now
            )
            row = withdrawals.request(
                session, village.account, mei, 100, client_token=f"t{number}", audited=True, now=village.now
            )  # fmt: skip
            withdrawals.reject(
                session, village.account, row.id, actor="staff", reason=words[:190], now=village.now
            )

    village.database.transact(hostile)
    phone = village.phone("mei")
    whys = re.findall(r"/m/tea/(earnings/[0-9]+)", phone.open("earnings").text)
    rows = re.findall(r"/m/tea/(withdrawals/[0-9]+)", phone.open("withdrawals").text)
    assert len(whys) == len(rows) == 10
    for page in (*PAGES, *whys, *rows):
        answer = phone.open(page)
        assert answer.status_code == 200, page
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert village.account.app_secret not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in phone.open("").text
    assert "{{7*7}}" in phone.open("team").text
    assert phone.open("privacy/export.json").json is not None


def test_others_ids_are_not_there(village: Village) -> None:
    """A guess at somebody else's number is answered like a number that nobody has."""
    village.full_of_life()
    village.person("eve", 9_000)
    number = village.paying.ask(1_000, "mei")
    commission = village.commission_of("mei")
    mei, eve = village.phone("mei"), village.phone("eve")
    assert mei.open(f"withdrawals/{number}").status_code == 200
    assert mei.open(f"earnings/{commission}").status_code == 200
    token = eve.csrf()
    for page in (f"withdrawals/{number}", f"withdrawals/{number}/state", f"earnings/{commission}"):
        theirs, nobodys = eve.open(page), eve.open(re.sub(r"\d+", "987654321", page))
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text == nobodys.text
    assert eve.post(f"withdrawals/{number}/ask", token).status_code == 404
    assert "mei" not in eve.open("privacy/export.json").text


def test_team_is_masked_and_amounts_are_hidden_as_the_account_wants(village: Village) -> None:
    village.full_of_life()
    phone = village.phone("mei")
    assert "林**" in phone.open("team").text
    assert "林小夏" not in phone.open("team").text
    assert "199.00" in phone.open("team").text
    village.set(mask_names=False, hide_amounts=True)
    text = phone.open("team").text
    assert "林小夏" in text
    assert "199.00" not in text
    why = phone.open(f"earnings/{village.commission_of('mei')}").text
    assert "宋清如" in why


def test_team_tells_who_follows_who_left_and_who_bought(village: Village) -> None:
    village.full_of_life()
    text = village.phone("mei").open("team").text
    assert text.count("已取关") == 1
    assert text.count(">在关注</i>") == 6
    assert text.count(">买过</i>") == 7
    assert "沈**" in village.phone("mei").open("team?level=2").text


def test_levels_the_account_does_not_pay_are_not_shown(village: Village) -> None:
    village.full_of_life()
    phone = village.phone("mei")
    for level in ("0", "4", "x", "-1"):
        assert phone.open(f"team?level={level}").status_code == 404


@pytest.mark.parametrize("page", ["earnings", "statement", "team", "withdrawals"])
@pytest.mark.parametrize("before", ["x", "-1", "1' OR 1=1", "9" * 30, "１２"])
def test_keyset_that_is_no_number_is_no_page(village: Village, page: str, before: str) -> None:
    village.person("mei")
    assert village.phone("mei").open(f"{page}?before={before}").status_code == 404


def test_every_commission_is_listed_once_over_the_pages(village: Village) -> None:
    village.rule(1000, 0, 0, freeze_days=7)
    village.person("mei")
    village.friend("f", "mei")
    for number in range(45):
        village.buys("f", 1_000 + number, f"no-{number}")
    phone, page = village.phone("mei"), "earnings"
    seen: list[str] = []
    while page:
        text = phone.open(page).text
        seen += re.findall(r"/m/tea/earnings/(\d+)", text)
        more = re.search(r'href="/m/tea/(earnings\?before=\d+)"', text)
        page = more[1] if more else ""
    assert len(seen) == len(set(seen)) == 45


def test_filter_shows_one_state(village: Village) -> None:
    village.full_of_life()
    phone = village.phone("mei")
    frozen = phone.open("earnings?state=frozen").text
    assert "已结算</small>" not in frozen
    assert "起结算</small>" in frozen
    assert phone.open("earnings?state=stolen").status_code == 404


def test_statement_file_is_the_members_own_and_opens_in_excel(village: Village) -> None:
    village.full_of_life()
    village.person("eve", 9_900)
    mine, theirs = (
        village.phone("mei").open("statement.csv"),
        village.phone("eve").open("statement.csv"),
    )
    assert mine.data.startswith(b"\xef\xbb\xbf")
    assert "attachment" in mine.headers["Content-Disposition"]
    assert len(mine.text.splitlines()) > len(theirs.text.splitlines()) > 1


def test_debt_is_said_and_nothing_can_be_withdrawn(village: Village) -> None:
    village.person("mei", 5_000)

    def owe(session: Session) -> None:
        session.get_one(Balance, village.paying.member_id("mei")).available_fen = -1_200

    village.database.transact(owe)
    phone = village.phone("mei")
    assert "有 ¥12.00 待抵扣" in phone.open("").text
    assert phone.open("withdraw?amount=1").status_code == 422


def test_too_many_exports_are_stopped(village: Village) -> None:
    village.person("mei")
    phone = village.phone("mei")
    answers = [phone.open("privacy/export.json").status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
