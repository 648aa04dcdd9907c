"""Settings: the example is complete, what is wrong is named, and the environment wins over the file."""

import base64
import itertools
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from config import ConfigError, Settings, load_settings

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
KEY = base64.b64encode(bytes(range(32))).decode()
MINIMAL = f"""
[server]
public_url = "https://wx.example.com"
[secrets]
key = "{KEY}"
"""


def _write(folder: Path, text: str) -> dict[str, str]:
    (folder / "banyan.toml").write_text(text, encoding="utf-8")
    return {"BANYAN_CONFIG": str(folder / "banyan.toml")}


def _sections() -> dict[str, type[BaseModel]]:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {
        name: model
        for name, model in sections.items()
        if isinstance(model, type) and issubclass(model, BaseModel)
    }


def _problems(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_every_setting_is_a_section_of_keys() -> None:
    assert set(_sections()) == set(Settings.model_fields)


def test_example_has_every_key_and_no_other() -> None:
    found: dict[str, set[str]] = {}
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"\[(\w+)\]", line):
            section = head[1]
            found[section] = set()
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            found[section].add(key[1])
    assert found == {name: set(model.model_fields) for name, model in _sections().items()}


def test_example_explains_every_key() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        assert not (line.startswith("[") and before), f"{line} needs a blank line before it"
        if before.startswith("["):
            assert line.startswith("# "), f"{before} begins without a comment"


def test_example_loads_and_shows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text(KEY + "\n")
    example = load_settings(_write(tmp_path, EXAMPLE.read_text(encoding="utf-8")))
    assert example.secrets.master_key == bytes(range(32))
    minimal = load_settings(_write(tmp_path, MINIMAL))
    assert example.model_dump(exclude={"secrets"}) == minimal.model_dump(exclude={"secrets"})


def test_minimal_file_keeps_everything_in_the_folder_beside_it(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, MINIMAL))
    assert settings.data.dir == tmp_path / "data"
    assert settings.database_url == f"sqlite:///{tmp_path}/data/banyan.db"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, MINIMAL))
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.__setattr__("port", 1)


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = _write(tmp_path, MINIMAL + "[redis]\nurl = 'redis://one'\n")
    environ |= {
        "BANYAN_REDIS__URL": "redis://two",
        "BANYAN_SERVER__PORT": "8140",
        "BANYAN_DEMO__ENABLED": "true",
    }
    settings = load_settings(environ)
    assert (settings.redis_url, settings.server.port, settings.demo.enabled) == (
        "redis://two",
        8140,
        True,
    )


def test_environment_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(
        {"BANYAN_SERVER__PUBLIC_URL": "http://x:1/", "BANYAN_SECRETS__KEY": KEY}
    )
    assert settings.server.public_url == "http://x:1"


def test_every_missing_key_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = _problems({})
    assert "[server] public_url: is required" in said
    assert "[secrets]: set exactly one of key and key_file" in said
    assert "copy config.example.toml" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[redis]\nulr = ''", "[redis] ulr: no such key; did you mean url?"),
        ("[databse]\nurl = ''", "[databse]: no such section; did you mean database?"),
        ("[server.port]\n", "[server] port:"),
        ("redis = 1", "[redis]:"),
        (
            "[wechat]\napi_base = 'api.weixin.qq.com'",
            "[wechat] api_base: must begin with http:// or https://",
        ),
        ("[pay]\napi_base = 'https://a/b'", "[pay] api_base: must be scheme, host and port only"),
        (
            "[database]\nurl = 'postgresql://x'",
            "[database] url: must begin with sqlite:/// or mysql+pymysql://",
        ),
        ("[redis]\nurl = 'localhost:6379'", "[redis] url: must begin with redis://"),
        (
            "[demo]\nclock_file = 'c.json'",
            "[demo]: clock_file and simulator_url need enabled = true",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    # A top-level key must stand before the first section.
    whole = text + MINIMAL if not text.startswith("[") else MINIMAL + text
    assert said in _problems(_write(tmp_path, whole))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BANYAN_SERVER__PORT", "eighty", "[server] port:"),
        ("BANYAN_SERVER__PORT", "65536", "[server] port:"),
        ("BANYAN_SERVER__PROT", "80", "[server] prot: no such key; did you mean port?"),
        ("BANYAN_SERVR__PORT", "80", "BANYAN_SERVR__PORT: no such setting"),
        ("BANYAN_PORT", "80", "BANYAN_PORT: no such setting"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    assert said in _problems(_write(tmp_path, MINIMAL) | {name: value})


def test_named_file_must_exist(tmp_path: Path) -> None:
    assert "no such file" in _problems({"BANYAN_CONFIG": str(tmp_path / "none.toml")})


def test_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    assert "banyan.toml cannot be read" in _problems(_write(tmp_path, "[server"))


def test_key_file_is_read_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(KEY + "\n")
    settings = load_settings(_write(tmp_path, MINIMAL.replace(f'key = "{KEY}"', 'key_file = "k"')))
    assert settings.secrets.master_key == bytes(range(32))


def test_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    said = _problems(_write(tmp_path, MINIMAL.replace(f'key = "{KEY}"', 'key_file = "k"')))
    assert "[secrets]: key_file" in said
    assert str(tmp_path / "k") in said


def test_key_and_key_file_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(KEY)
    assert "exactly one" in _problems(_write(tmp_path, MINIMAL + 'key_file = "k"\n'))


@pytest.mark.parametrize(
    ("key", "said"), [("not base64!", "not base64"), ("c2hvcnQ=", "has 5 bytes, not 32")]
)
def test_bad_key_is_refused_without_being_shown(tmp_path: Path, key: str, said: str) -> None:
    text = _problems(_write(tmp_path, MINIMAL.replace(KEY, key)))
    assert said in text
    assert key not in text


def test_key_is_masked_wherever_settings_are_printed(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, MINIMAL))
    assert KEY not in repr(settings)
    assert KEY not in str(settings.model_dump())


def test_redis_without_address_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"\[redis\] url is empty: set it, or start through `make run`"
    ):
        _ = load_settings(_write(tmp_path, MINIMAL)).redis_url
