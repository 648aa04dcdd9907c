"""Web login: the address, a code for an openid, and what is said of a visitor."""

from __future__ import annotations

import logging

import pytest

from tests.wechat.stub import SECRET, Stub, error, says
from wechat import oauth
from wechat.client import PlatformClient
from wechat.errors import AccountMisconfigured, QuotaExceeded, Refused, Retryable
from wechat.oauth import CodeRefused, Grant, GrantExpired

TOKENS = "/sns/oauth2/access_token"
USERINFO = "/sns/userinfo"
GRANT = Grant("o-1", oauth.USERINFO, False, None, "visitor-token")


def test_address_has_its_parameters_in_the_documented_order_and_quoted(
    client: PlatformClient, stub: Stub
) -> None:
    url = oauth.authorize_url(client, "https://shop.example.com/m/tea/login?a=1&b=二", "abc123")
    assert url == (
        f"{stub.url}/connect/oauth2/authorize?appid=wx-test"
        "&redirect_uri=https%3A%2F%2Fshop.example.com%2Fm%2Ftea%2Flogin%3Fa%3D1%26b%3D%E4%BA%8C"
        "&response_type=code&scope=snsapi_base&state=abc123#wechat_redirect"
    )


@pytest.mark.parametrize("state", ["", "a b", "a&b", "é", "x" * 129])
def test_state_that_wechat_would_mangle_is_refused(client: PlatformClient, state: str) -> None:
    with pytest.raises(ValueError, match="state"):
        oauth.authorize_url(client, "https://shop.example.com/", state)


def test_code_is_exchanged_without_the_accounts_token(client: PlatformClient, stub: Stub) -> None:
    stub.always[TOKENS] = says(access_token="V1", openid="o-1", scope="snsapi_base")
    grant = oauth.exchange(client, SECRET, "c0de")
    assert (grant.openid, grant.scope, grant.is_snapshot, grant.unionid) == (
        "o-1", "snsapi_base", False, None
    )  # fmt: skip
    (call,) = stub.calls
    assert call.query == {
        "appid": "wx-test", "secret": SECRET, "code": "c0de", "grant_type": "authorization_code"
    }  # fmt: skip
    assert "V1" not in repr(grant)


def test_snapshot_visitor_is_known_as_one(client: PlatformClient, stub: Stub) -> None:
    stub.always[TOKENS] = says(access_token="V1", openid="o-1", scope="x", is_snapshotuser=1)
    assert oauth.exchange(client, SECRET, "c").is_snapshot


@pytest.mark.parametrize("errcode", [40029, 40163, 41008, 42003])
def test_code_that_is_no_good_is_the_visitors_to_renew(
    client: PlatformClient, stub: Stub, errcode: int
) -> None:
    stub.always[TOKENS] = error(errcode, f"no: secret={SECRET} rid: 6a0b1c2d-11223344-55667788")
    with pytest.raises(CodeRefused) as caught:
        oauth.exchange(client, SECRET, "c0de")
    assert caught.value.errcode == errcode
    assert caught.value.rid == "6a0b1c2d-11223344-55667788"
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None  # whoever logs the chain finds no address in it


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [(40125, AccountMisconfigured), (45011, QuotaExceeded), (-1, Retryable), (48001, AccountMisconfigured)],
)  # fmt: skip
def test_other_refusals_keep_their_kind(
    client: PlatformClient, stub: Stub, errcode: int, kind: type[Exception]
) -> None:
    stub.always[TOKENS] = error(errcode)
    with pytest.raises(kind):
        oauth.exchange(client, SECRET, "c0de")


def test_profile_is_what_the_visitor_let_us_know(client: PlatformClient, stub: Stub) -> None:
    stub.always[USERINFO] = says(openid="o-1", nickname="小明\u202e<b>", headimgurl="", unionid="u")
    seen = oauth.profile(client, GRANT)
    assert (seen.nickname, seen.picture_url, seen.unionid) == ("小明\u202e<b>", "", "u")
    assert stub.calls[0].query == {
        "access_token": "visitor-token", "openid": "o-1", "lang": "zh_CN"
    }  # fmt: skip


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_visitors_token_that_lapsed_does_not_renew_the_accounts(
    client: PlatformClient, stub: Stub, errcode: int
) -> None:
    stub.always[USERINFO] = error(errcode)
    with pytest.raises(GrantExpired):
        oauth.profile(client, GRANT)
    assert stub.token_calls == []


def test_answer_about_somebody_else_is_not_believed(client: PlatformClient, stub: Stub) -> None:
    stub.always[USERINFO] = says(openid="o-2", nickname="x")
    with pytest.raises(Retryable):
        oauth.profile(client, GRANT)


def test_answer_without_openid_is_refused(client: PlatformClient, stub: Stub) -> None:
    stub.always[TOKENS] = says(access_token="V1")
    with pytest.raises(Retryable):
        oauth.exchange(client, SECRET, "c0de")


def test_neither_secret_nor_code_gets_into_a_log(
    client: PlatformClient, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub.always[TOKENS] = says(access_token="V1", openid="o-1", scope="x")
    oauth.exchange(client, SECRET, "c0de-0123456789")
    assert caplog.records
    assert SECRET not in caplog.text
    assert "c0de-0123456789" not in caplog.text


def test_refusal_of_a_page_says_what_status_it_had(client: PlatformClient, stub: Stub) -> None:
    stub.always[USERINFO] = error(40003)
    with pytest.raises(Refused):
        oauth.profile(client, GRANT)
