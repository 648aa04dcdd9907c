"""`flask code …`, `flask poster …`: one JSON object each, and the change is really made."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskCliRunner
from PIL import Image

from app import app_of
from domain.accounts import OpenAccount
from domain.designs import BUILT_IN, INVITE
from tests.web.conftest import Merchant
from tests.web.test_cli import done, refusal


@pytest.fixture
def flask(merchant: Merchant) -> Any:
    runner: FlaskCliRunner = app_of(merchant.context).test_cli_runner()

    def run(*words: str) -> Any:
        return runner.invoke(args=list(words))

    return run


def test_codes_are_made_shown_changed_and_given_for_ever(account: OpenAccount, flask: Any) -> None:
    made = done(flask("code", "add", "--account", "tea", "--name", "橱窗", "--reply", "欢迎"))
    assert (made["kind"], made["reply"], made["ticket"]) == ("channel", "欢迎", None)
    assert "name" in refusal(flask("code", "add", "--account", "tea", "--name", "橱窗"))
    assert "no such product" in refusal(
        flask("code", "add", "--account", "tea", "--name", "架", "--sku", "X")
    )
    code = made["code"]
    changed = done(flask("code", "set", "--account", "tea", code, "--tag", "橱窗客人"))
    assert (changed["reply"], changed["tag"]) == (None, "橱窗客人")
    given = done(flask("code", "permanent", "--account", "tea", code))
    assert (given["number"], given["left"], given["new"]) == (1, 99_999, True)
    listed = done(flask("code", "list", "--account", "tea"))
    assert [each["code"] for each in listed["codes"]] == [code]
    assert (listed["permanent_given"], listed["codes"][0]["scans"]) == (1, 0)
    assert done(flask("code", "show", "--account", "tea", code))["days"] == []
    done(flask("code", "archive", "--account", "tea", code))
    assert done(flask("code", "list", "--account", "tea"))["codes"] == []


def test_a_code_answers_with_a_file_from_the_shell(
    account: OpenAccount, flask: Any, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n1")
    media = done(flask("media", "add", "--account", "tea", "--kind", "image", str(picture)))["id"]
    add = ("code", "add", "--account", "tea", "--media", str(media))
    made = done(flask(*add, "--name", "橱窗"))
    assert (made["media"], made["media_id"]) == (media, None)
    assert "a text or a picture" in refusal(flask(*add, "--name", "门", "--reply", "好"))
    assert "a code answers" in refusal(flask("media", "remove", "--account", "tea", str(media)))
    changed = done(flask("code", "set", "--account", "tea", made["code"], "--media-id", "M1"))
    assert (changed["media"], changed["media_id"]) == (None, "M1")


def test_an_exhausted_pool_is_said_in_one_line(account: OpenAccount, flask: Any) -> None:
    done(flask("account", "set", "tea", "permanent_pool=0"))
    made = done(flask("code", "add", "--account", "tea", "--name", "橱窗"))
    said = refusal(flask("code", "permanent", "--account", "tea", made["code"]))
    assert "permanent_pool_exhausted" in said
    assert "name a code" in refusal(flask("code", "permanent", "--account", "tea"))


def test_templates_are_added_previewed_listed_and_retired(
    account: OpenAccount, flask: Any, tmp_path: Path
) -> None:
    background = tmp_path / "back.png"
    Image.new("RGB", (900, 1600), (30, 60, 120)).save(background)
    picture = done(flask("poster", "template", "picture", "--account", "tea", str(background)))
    design = {**BUILT_IN[INVITE], "background": {"picture": picture["picture"]}}
    file, out = tmp_path / "t.json", tmp_path / "out.jpg"
    file.write_text(json.dumps(design), encoding="utf-8")
    add = ("poster", "template", "add", "--account", "tea", "--name", "蓝", str(file))
    template = done(flask(*add))["template"]
    preview = ("poster", "template", "preview", "--account", "tea", "--file", str(file))
    done(flask(*preview, "--name", "小红", "--out", str(out)))
    with Image.open(io.BytesIO(out.read_bytes())) as drawn:
        assert drawn.size == (750, 1334)
        assert drawn.getpixel((20, 20)) == pytest.approx((30, 60, 120), abs=6)
    weigh = ("poster", "template", "weight", "--account", "tea", str(template))
    assert done(flask(*weigh, "3")) == {"template": template, "weight": 3}
    assert "a weight is" in refusal(flask(*weigh, "0"))
    listed = done(flask("poster", "template", "list", "--account", "tea"))
    assert [(each["template"], each["weight"]) for each in listed["templates"]] == [(template, 3)]
    done(flask("poster", "template", "retire", "--account", "tea", str(template)))
    assert "no such active" in refusal(
        flask("poster", "template", "retire", "--account", "tea", str(template))
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "not JSON"), ("[]", "JSON object"), ('{"background": {"picture": 7}}', "items")],
)
def test_a_wrong_template_is_refused_with_its_place(
    account: OpenAccount, flask: Any, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "t.json"
    file.write_text(content, encoding="utf-8")
    said = refusal(flask("poster", "template", "add", "--account", "tea", "--name", "x", str(file)))
    assert says in said
    assert done(flask("poster", "template", "list", "--account", "tea"))["templates"] == []
