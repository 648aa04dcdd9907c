from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wechat.signing import is_fresh, is_signed, signature

# printf '%s' 1234561409735669tok | sha1sum: the values sort as text, digits before letters.
KNOWN = "469f4439b01fac00402d02354ab71c9d169f9bce"
KNOWN_SAFE = "da83a1c6c4d4d879edee288bdec676879a2de649"
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def test_a_known_signature() -> None:
    assert signature("tok", "1409735669", "123456") == KNOWN
    assert signature("tok", "1409735669", "123456", "Zm9v") == KNOWN_SAFE


def test_only_the_right_values_are_signed() -> None:
    assert is_signed(KNOWN, "tok", "1409735669", "123456")
    assert is_signed(KNOWN_SAFE, "tok", "1409735669", "123456", "Zm9v")
    assert not is_signed(KNOWN, "tok", "1409735669", "123456", "Zm9v")
    assert not is_signed(KNOWN, "tok", "1409735670", "123456")
    assert not is_signed(KNOWN.upper(), "tok", "1409735669", "123456")


@pytest.mark.parametrize("junk", ["", "签名", "\ud800", "a" * 100_000])
def test_junk_is_refused_without_a_fuss(junk: str) -> None:
    assert not is_signed(junk, "tok", junk, junk)


@pytest.mark.parametrize(
    ("seconds", "fresh"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_five_minutes_either_way(seconds: int, fresh: bool) -> None:
    timestamp = str(int((NOW + timedelta(seconds=seconds)).timestamp()))
    assert is_fresh(timestamp, NOW) is fresh


@pytest.mark.parametrize(
    "junk", ["", "-1", "1e9", "１７６３７８４０００", " 1", "9" * 13, "9" * 5000]
)
def test_what_is_not_a_timestamp_is_not_fresh(junk: str) -> None:
    assert not is_fresh(junk, NOW)
