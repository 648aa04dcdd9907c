"""Access tokens: two channels, overlap, expiry and refusals."""

from typing import Any

import pytest

from tests.simulator.conftest import APP_ID, SECRET, Sim

TOKEN, STABLE, PROBE = "/cgi-bin/token", "/cgi-bin/stable_token", "/cgi-bin/getcallbackip"
RIGHT = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}


def works(sim: Sim, token: str) -> int:
    """0 when the token is taken, else the errcode."""
    return int(sim.api(PROBE, access_token=token).get("errcode", 0))


def normal(sim: Sim) -> str:
    return str(sim.api(TOKEN, **RIGHT)["access_token"])


def stable(sim: Sim, **extra: Any) -> Any:
    return sim.api(STABLE, RIGHT | extra)


def test_every_call_of_the_normal_channel_makes_a_token_and_the_old_one_lives_five_minutes(
    sim: Sim,
) -> None:
    first, second = normal(sim), normal(sim)
    assert first != second
    sim.advance(290)
    assert (works(sim, first), works(sim, second)) == (0, 0)
    sim.advance(20)
    assert (works(sim, first), works(sim, second)) == (40001, 0)


def test_a_token_expires_after_two_hours(sim: Sim) -> None:
    token = normal(sim)
    sim.advance(7190)
    assert works(sim, token) == 0
    sim.advance(20)
    assert works(sim, token) == 42001


def test_the_stable_channel_gives_everybody_the_same_token(sim: Sim) -> None:
    first = stable(sim)
    assert first["expires_in"] == 7200
    sim.advance(6000)
    again = stable(sim)
    assert again["access_token"] == first["access_token"]
    assert 1190 <= again["expires_in"] <= 1200


def test_the_stable_token_is_replaced_five_minutes_before_it_expires(sim: Sim) -> None:
    first = stable(sim)["access_token"]
    sim.advance(6905)
    second = stable(sim)
    assert second["access_token"] != first
    assert second["expires_in"] == 7200
    assert works(sim, first) == 0
    sim.advance(300)
    assert works(sim, first) == 42001
    assert works(sim, second["access_token"]) == 0


def test_a_forced_stable_token_kills_the_old_one_at_once(sim: Sim) -> None:
    first = stable(sim)["access_token"]
    second = stable(sim, force_refresh=True)["access_token"]
    assert (works(sim, first), works(sim, second)) == (40001, 0)


def test_forcing_is_limited_to_one_in_30_seconds_and_20_a_day(sim: Sim) -> None:
    assert "access_token" in stable(sim, force_refresh=True)
    assert stable(sim, force_refresh=True)["errcode"] == 45011
    for _ in range(19):
        sim.advance(31)
        assert "access_token" in stable(sim, force_refresh=True)
    sim.advance(31)
    assert stable(sim, force_refresh=True)["errcode"] == 45009


def test_the_channels_do_not_disturb_each_other(sim: Sim) -> None:
    kept = stable(sim)["access_token"]
    for _ in range(3):
        normal(sim)
    sim.advance(400)
    assert works(sim, kept) == 0
    one = normal(sim)
    stable(sim, force_refresh=True)
    assert works(sim, one) == 0


def test_two_thousand_normal_tokens_a_day(sim: Sim) -> None:
    sim.control("faults", quota={TOKEN: 3})
    for _ in range(3):
        normal(sim)
    assert sim.api(TOKEN, **RIGHT)["errcode"] == 45009
    sim.advance(86_400)
    assert normal(sim)


REFUSED = [
    ({"grant_type": "password"}, 40002),
    ({"appid": None}, 41002),
    ({"secret": None}, 41004),
    ({"appid": "wxnobody"}, 40013),
    ({"secret": "wrong"}, 40125),
]


@pytest.mark.parametrize(("change", "errcode"), REFUSED)
def test_wrong_credentials_are_refused_on_both_channels(
    sim: Sim, change: dict[str, Any], errcode: int
) -> None:
    given = {name: value for name, value in (RIGHT | change).items() if value is not None}
    assert sim.api(TOKEN, **given)["errcode"] == errcode
    assert sim.api(STABLE, given)["errcode"] == errcode


def test_the_right_method_is_needed(sim: Sim) -> None:
    assert sim.api(STABLE, **RIGHT)["errcode"] == 43002
    assert sim.api(TOKEN, RIGHT)["errcode"] == 43001


def test_an_address_off_the_white_list_is_named_in_the_refusal(sim: Sim) -> None:
    sim.account(allowed_ips=["203.0.113.7"])
    refused = sim.api(TOKEN, **RIGHT)
    assert refused["errcode"] == 40164
    assert "127.0.0.1" in refused["errmsg"]
    sim.account(allowed_ips=["127.0.0.1"])
    assert normal(sim)


def test_a_call_without_or_with_an_unknown_token_is_refused(sim: Sim) -> None:
    assert sim.api(PROBE)["errcode"] == 41001
    assert works(sim, "made up") == 40001
    sim.control("faults", invalid_token_errcode=40014)
    assert works(sim, "made up") == 40014


def test_errmsg_ends_with_a_request_id_that_can_be_looked_up(sim: Sim) -> None:
    token = normal(sim)
    refused = sim.api("/cgi-bin/user/info", access_token=token, openid="nobody")
    assert refused["errmsg"].startswith("invalid openid rid: ")
    rid = refused["errmsg"].split("rid: ")[1]
    found = sim.api("/cgi-bin/openapi/rid/get", {"rid": rid}, access_token=token)
    assert '"errcode": 40003' in found["request"]["response_body"]
    assert token not in str(found)


def test_tokens_of_two_accounts_are_separate(sim: Sim) -> None:
    sim.control("accounts", app_id="wxother", secret="other")
    token = normal(sim)
    answer = sim.api("/cgi-bin/clear_quota", {"appid": "wxother"}, access_token=token)
    assert answer["errcode"] == 40013


def test_rotation_on_request_kills_every_token(sim: Sim) -> None:
    token, other = normal(sim), stable(sim)["access_token"]
    sim.control("faults", rotate_token=True)
    assert (works(sim, token), works(sim, other)) == (40001, 40001)
    assert works(sim, stable(sim)["access_token"]) == 0
