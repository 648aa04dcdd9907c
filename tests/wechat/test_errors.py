from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

from wechat.errors import QuotaExceeded, Refused, redacted, refusal, rid_in
from wechat.menu import InvalidMenuError, MenuProblem


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/cgi-bin/x?access_token=abc&y=1", "/cgi-bin/x?access_token=***&y=1"),
        ("?appid=wx1&secret=s3&code=c0 HTTP/1.1", "?appid=wx1&secret=***&code=*** HTTP/1.1"),
        ('{"secret": "s3", "x": 1}', '{"secret": "***", "x": 1}'),
        ('{"errcode":40029,"errmsg":"invalid code"}', '{"errcode":40029,"errmsg":"invalid code"}'),
    ],
)
def test_values_of_confidential_parameters_are_masked(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_an_error_reads_well() -> None:
    error = refusal(47003, "argument invalid rid: 6a0b1c2d-11223344-55667788", "/cgi-bin/x")

    assert str(error) == "/cgi-bin/x 47003 argument invalid rid: 6a0b1c2d-11223344-55667788"
    assert error.rid == "6a0b1c2d-11223344-55667788"
    assert rid_in("no id here") == ""


@pytest.mark.parametrize(
    "error",
    [
        Refused("no", errcode=1, path="/x", rid="r"),
        QuotaExceeded("full", retry_at=datetime(2026, 11, 22, tzinfo=UTC), path="/x"),
        InvalidMenuError("bad", problems=[MenuProblem("button", "missing")]),
    ],
)
def test_an_error_survives_copying_and_pickling(error: Refused) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
