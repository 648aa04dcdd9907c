"""Getting in and staying out: passwords, pauses, the second factor, sessions, the first owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from domain import staff
from domain.accounts import OpenAccount
from domain.models import Staff, StaffRecovery, StaffSession
from domain.secrets import digest
from domain.staff import factor, lockout, sessions, setup
from domain.staff.lockout import LOGIN, TooManyGuesses
from tests.web.conftest import Merchant
from tests.web.console.browser import Browser, Console

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing is expensive on purpose; here only whether it is asked counts."""
    monkeypatch.setattr("domain.staff.hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(
        "domain.staff.check_password", lambda password, hashed: hashed == f"hash of {password}"
    )


@pytest.fixture
def anna(console: Console, account: OpenAccount) -> Staff:
    person = console.person((account, "owner"), login="anna")
    console.merchant.database.transact(
        lambda session: staff.set_password(session, person.id, PASSWORD)
    )
    return person


def sign_in(browser: Browser, password: str = PASSWORD, login: str = "anna") -> Any:
    return browser.post("/console/login", login=login, password=password)


def cookie_of(client: FlaskClient) -> dict[str, Any]:
    with client.session_transaction("/console/") as cookie:
        return dict(cookie)


def test_right_password_opens_the_account(console: Console, anna: Staff) -> None:
    browser = console.browser()
    answer = browser.post(
        "/console/login?next=/console/tea/members", login="anna", password=PASSWORD
    )
    assert answer.location == "/console/tea/members"
    assert browser.get("/console/tea/members").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/console/\\evil", "/m/tea"]
)
def test_login_leads_nowhere_but_to_the_console(
    console: Console, anna: Staff, elsewhere: str
) -> None:
    browser = console.browser()
    answer = browser.client.post(
        "/console/login", query_string={"next": elsewhere},
        data={"csrf_token": browser.token, "login": "anna", "password": PASSWORD},
    )  # fmt: skip
    assert answer.location == "/console/"


def test_wrong_password_and_unknown_login_sound_the_same(console: Console, anna: Staff) -> None:
    wrong, unknown = sign_in(console.browser(), "wrong"), sign_in(console.browser(), login="nobody")
    assert wrong.status_code == unknown.status_code == 401
    assert "登录名或密码不对" in wrong.text
    assert "登录名或密码不对" in unknown.text


def test_sixth_guess_waits_and_the_pause_doubles(console: Console, anna: Staff) -> None:
    for _ in range(LOGIN.free):
        assert sign_in(console.browser(), "wrong").status_code == 401
    assert sign_in(console.browser(), "wrong").status_code == 401  # and now they have to wait
    refused = sign_in(console.browser(), PASSWORD)
    assert refused.status_code == 429, "the right password does not help"
    assert "2 秒" in refused.text
    console.merchant.move_clock(seconds=2)
    assert sign_in(console.browser(), "wrong").status_code == 401
    assert "4 秒" in sign_in(console.browser(), "wrong").text


def test_right_password_after_the_pause_starts_the_count_again(
    console: Console, anna: Staff
) -> None:
    for _ in range(LOGIN.free + 1):
        sign_in(console.browser(), "wrong")
    console.merchant.move_clock(minutes=1)
    assert sign_in(console.browser()).status_code == 302
    assert sign_in(console.browser(), "wrong").status_code == 401
    assert sign_in(console.browser()).status_code == 302


def test_one_address_cannot_try_many_logins(merchant: Merchant) -> None:
    now = merchant.context.clock.now()

    def guess(login: str, address: str = "2001:db8::1") -> None:
        merchant.database.transact(
            lambda session: lockout.begin(session, "password", login, address, now)
        )

    for number in range(lockout.ADDRESS.free + 1):
        guess(f"login{number}")
    with pytest.raises(TooManyGuesses):
        guess("another", "2001:db8::2")  # of the same customer
    guess("another", "2001:db8:0:1::1")


def test_pause_grows_to_its_limit() -> None:
    assert [LOGIN.pause(failures).total_seconds() for failures in (5, 6, 7, 8)] == [0, 2, 4, 8]
    assert LOGIN.pause(1000) == timedelta(minutes=15)


def test_session_is_new_at_login_and_the_old_cookie_is_worth_nothing(
    console: Console, anna: Staff
) -> None:
    """Fixation: whoever planted a cookie before must not share the session after."""
    browser = console.browser()
    browser.get("/console/login")
    planted = cookie_of(browser.client)
    sign_in(browser)
    mine = cookie_of(browser.client)
    assert mine["_user_id"]
    assert mine.get("csrf_token") != planted["csrf_token"]
    thief = console.browser()
    with thief.client.session_transaction("/console/") as cookie:
        cookie.update(planted)
    assert thief.get("/console/tea/members").status_code == 302


def test_database_keeps_no_token(console: Console, anna: Staff) -> None:
    browser = console.browser()
    sign_in(browser)
    token = cookie_of(browser.client)["_user_id"]
    row = console.merchant.database.read(
        lambda session: session.scalars(select(StaffSession)).one()
    )
    assert row.token_hash == digest(token)
    assert token not in str(vars(row))


def test_signing_out_ends_the_session_in_the_database(console: Console, anna: Staff) -> None:
    browser = console.browser()
    sign_in(browser)
    stolen = cookie_of(browser.client)
    assert console.browser(anna).post("/console/logout").location == "/console/login"
    assert browser.get("/console/tea/members").status_code == 200, "another session goes on"
    token = stolen["_user_id"]
    with browser.client.session_transaction("/console/") as cookie:
        cookie["csrf_token"] = "0" * 40
    browser.post("/console/logout")
    thief = console.browser()
    with thief.client.session_transaction("/console/") as cookie:
        cookie["_user_id"] = token
    assert thief.get("/console/tea/members").status_code == 302


@pytest.mark.parametrize(
    ("later", "open_"),
    [(timedelta(hours=11), True), (timedelta(hours=12, minutes=1), False)],
)
def test_session_idles_out(console: Console, anna: Staff, later: timedelta, open_: bool) -> None:
    browser = console.browser(anna)
    console.merchant.move_clock(seconds=later.total_seconds())
    assert (browser.get("/console/tea/members").status_code == 200) is open_


def test_session_in_use_ends_after_fourteen_days(console: Console, anna: Staff) -> None:
    browser = console.browser(anna)
    for half_days in range(1, 28 + 1):
        console.merchant.move_clock(hours=11.5 * half_days)
        assert browser.get("/console/me").status_code == 200
    console.merchant.move_clock(days=14, minutes=1)
    assert browser.get("/console/me").status_code == 302


def test_person_who_is_shut_out_is_out_at_once(console: Console, anna: Staff) -> None:
    browser = console.browser(anna)
    console.merchant.database.transact(lambda session: staff.set_active(session, anna.id, False))
    assert browser.get("/console/tea/members").status_code == 302
    assert sign_in(console.browser()).status_code == 401


def test_sessions_are_listed_and_ended_by_their_person_alone(
    console: Console, anna: Staff, account: OpenAccount
) -> None:
    mine, other = console.browser(anna), console.browser(anna)
    rows = console.merchant.database.read(
        lambda session: sessions.open_of(session, anna.id, console.now)
    )
    assert mine.get("/console/me").text.count("退出</button>") == 1
    stranger = console.as_role(account)
    assert stranger.post(f"/console/me/sessions/{rows[0].id}/end").status_code == 404
    assert mine.post(f"/console/me/sessions/{rows[0].id}/end").status_code == 302
    assert other.get("/console/me").status_code == 302
    assert mine.get("/console/me").status_code == 200


def test_new_password_signs_all_other_browsers_out(console: Console, anna: Staff) -> None:
    mine, other = console.browser(anna), console.browser(anna)
    refused = mine.post(
        "/console/me", current="wrong", password="a new password", again="a new password"
    )
    assert "现在的密码不对" in refused.text
    assert other.get("/console/me").status_code == 200
    mine.post("/console/me", current=PASSWORD, password="a new password", again="a new password")
    assert "密码已修改" in mine.said()
    assert other.get("/console/me").status_code == 302
    assert sign_in(console.browser()).status_code == 401
    assert sign_in(console.browser(), "a new password").status_code == 302


# --- the second factor ----------------------------------------------------------------------------------------------


@pytest.fixture
def phone(console: Console, anna: Staff) -> pyotp.TOTP:
    """Anna's authenticator; her second factor is on."""
    secret, keyring = pyotp.random_base32(), console.merchant.context.keyring

    def switch_on(session: Any) -> None:
        factor.propose(session, keyring, anna.id, secret)
        factor.confirm(session, anna.id, actor="staff:anna", now=console.now)

    console.merchant.database.transact(switch_on)
    return pyotp.TOTP(secret)


def second_step(browser: Browser, code: str) -> Any:
    with browser.client.session_transaction("/console/") as cookie:
        cookie["csrf_token"] = "0" * 40
    return browser.post("/console/code", code=code)


def test_password_alone_is_not_enough(console: Console, phone: pyotp.TOTP) -> None:
    browser = console.browser()
    assert sign_in(browser).location == "/console/code"
    assert browser.get("/console/tea/members").status_code == 302
    assert second_step(browser, phone.at(console.now)).location == "/console/"
    assert browser.get("/console/tea/members").status_code == 200


def test_code_is_accepted_once(console: Console, phone: pyotp.TOTP) -> None:
    first, second = console.browser(), console.browser()
    code = phone.at(console.now)
    sign_in(first)
    sign_in(second)
    assert second_step(first, code).status_code == 302
    refused = second_step(second, code)
    assert refused.status_code == 401
    assert "用过" in refused.text


def test_recovery_code_works_once_and_is_kept_as_a_hash(
    console: Console, anna: Staff, phone: pyotp.TOTP
) -> None:
    database = console.merchant.database
    codes = database.transact(lambda session: factor.new_codes(session, anna.id))
    hashes = database.read(lambda session: session.scalars(select(StaffRecovery.code_hash)).all())
    assert len(codes) == len(hashes) == factor.RECOVERY_CODES
    assert not {code.replace("-", "") for code in codes} & set(hashes)
    for expected in (302, 401):
        browser = console.browser()
        sign_in(browser)
        assert second_step(browser, codes[0].lower()).status_code == expected


def test_guessing_codes_waits_like_guessing_passwords(console: Console, phone: pyotp.TOTP) -> None:
    browser = console.browser()
    sign_in(browser)
    for _ in range(LOGIN.free + 1):
        assert second_step(browser, "000000").status_code == 401
    assert second_step(browser, phone.at(console.now)).status_code == 429


def test_right_password_waits_five_minutes_for_the_code(
    console: Console, phone: pyotp.TOTP
) -> None:
    browser = console.browser()
    sign_in(browser)
    console.merchant.move_clock(minutes=6)
    assert second_step(browser, phone.at(console.now)).location == "/console/login"


def test_second_factor_is_switched_on_by_its_first_code_and_off_by_the_password(
    console: Console, anna: Staff
) -> None:
    browser = console.browser(anna)
    html = browser.get("/console/me/factor").text
    secret = html.split("<code>")[1].split("</code>")[0]
    now_code = pyotp.TOTP(secret).at(console.now)
    wrong = browser.post("/console/me/factor", code="000000", current=PASSWORD)
    assert "验证码不对" in wrong.text
    shown = browser.post("/console/me/factor", code=now_code, current=PASSWORD).text
    assert shown.count("<li>") >= factor.RECOVERY_CODES
    assert sign_in(console.browser()).location == "/console/code"
    browser.post("/console/me/factor/off", current="wrong")
    assert sign_in(console.browser()).location == "/console/code"
    browser.post("/console/me/factor/off", current=PASSWORD)
    assert sign_in(console.browser()).location == "/console/"


# --- the first owner ------------------------------------------------------------------------------------------------


def test_first_owner_is_made_once_by_the_printed_code(console: Console) -> None:
    merchant = console.merchant
    account = merchant.open_account("tea")
    code = merchant.database.transact(lambda session: setup.first_code(session, console.now))
    assert code is not None
    assert (
        merchant.database.transact(lambda session: setup.first_code(session, console.now)) is None
    )
    form = {"login": "anna", "password": PASSWORD, "again": PASSWORD}
    browser = console.browser()
    assert browser.get("/console/login").location == "/console/setup"
    wrong = browser.post("/console/setup", code="AAAA-BBBB-CCCC-DDDD", **form)
    assert wrong.status_code == 422
    assert "安装码不对" in wrong.text
    assert browser.post("/console/setup", code=code.lower(), **form).location == "/console/"
    assert browser.get("/console/").location == f"/console/{account.slug}/"
    again = console.browser()
    assert again.post("/console/setup", code=code, **form).location == "/console/login"


def test_setup_code_survives_a_password_that_will_not_do(console: Console) -> None:
    code = console.merchant.database.transact(
        lambda session: setup.first_code(session, console.now)
    )
    browser = console.browser()
    short = browser.post("/console/setup", code=code, login="anna", password="short", again="short")
    assert short.status_code == 200
    form = {"login": "anna", "password": PASSWORD, "again": PASSWORD}
    assert browser.post("/console/setup", code=code, **form).status_code == 302


def test_guessing_the_setup_code_waits_too(console: Console) -> None:
    console.merchant.database.transact(lambda session: setup.first_code(session, console.now))
    form = {"login": "anna", "password": PASSWORD, "again": PASSWORD}
    browser = console.browser()
    for _ in range(LOGIN.free + 1):
        assert browser.post("/console/setup", code="wrong", **form).status_code == 422
    assert browser.post("/console/setup", code="wrong", **form).status_code == 429


# --- cookies --------------------------------------------------------------------------------------------------------


def test_cookie_is_secure_when_the_address_is(console: Console) -> None:
    console.app.config["SESSION_COOKIE_SECURE"] = True  # what https in public_url does
    code = console.merchant.database.transact(
        lambda session: setup.first_code(session, console.now)
    )
    assert code is not None
    client = console.app.test_client()
    cookie = client.get("/console/setup", base_url="https://localhost").headers["Set-Cookie"]
    assert all(mark in cookie for mark in ("HttpOnly", "SameSite=Lax", "Secure"))


def test_language_and_colours_are_kept(console: Console, anna: Staff) -> None:
    browser = console.browser(anna)
    assert browser.post("/console/look?next=/console/me", language="en").location == "/console/me"
    assert "Change password" in browser.get("/console/me").text
    assert "Change password" in console.browser(anna).get("/console/me").text, (
        "a setting of the person"
    )
    browser.post("/console/look", theme="dark")
    assert 'data-bs-theme="dark"' in browser.get("/console/me").text
    assert browser.post("/console/look?next=//evil.example", theme="light").location == "/console/"
