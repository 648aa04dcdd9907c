"""The only reader of settings: one TOML file, each key overridable from the environment.

`BANYAN_CONFIG` names the file (default `config.toml`); `BANYAN_SECTION__KEY` replaces one key of it. Whatever is wrong
is said at start-up, all of it at once, by the name of the key: a server that runs with half of its settings is worse
than one that does not start.
"""

import base64
import binascii
import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

PREFIX = "BANYAN_"
FILE_VARIABLE = "BANYAN_CONFIG"
DEFAULT_FILE = "config.toml"
KEY_BYTES = 32


class ConfigError(Exception):
    """The settings cannot be used. `problems` has one line for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("settings: " + "\n          ".join(problems))


def _folder(info: ValidationInfo) -> Path:
    """Relative paths start at the file that names them, so no process depends on where it was started."""
    context: Mapping[str, Path] = info.context or {}
    return context.get("folder", Path.cwd())


def _absolute(path: Path | None, info: ValidationInfo) -> Path | None:
    return None if path is None else (_folder(info) / path.expanduser()).resolve()


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be scheme, host and port only, without a path")
    return value.rstrip("/")


def _database_address(value: str) -> str:
    if value and not value.startswith(("sqlite:///", "mysql+pymysql://")):
        raise ValueError("must begin with sqlite:/// or mysql+pymysql://, or be empty for SQLite")
    return value


def _redis_address(value: str) -> str:
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://, or be empty")
    return value


def _script_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.path.strip("/"):
        raise ValueError("must begin with http:// or https:// and name a file")
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
ScriptAddress = Annotated[str, AfterValidator(_script_address)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
OptionalPath = Annotated[Path | None, BeforeValidator(_none_if_empty), AfterValidator(_absolute)]
OptionalAddress = Annotated[WebAddress | None, BeforeValidator(_none_if_empty)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]


class Section(BaseModel):
    """Frozen, and nothing unknown gets in: a misspelt key must not look as if it worked."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DatabaseSection(Section):
    """`url` empty: SQLite in the data folder (`Settings.database_url` says where)."""

    url: Annotated[str, AfterValidator(_database_address)] = ""


class RedisSection(Section):
    """`url` empty: the launcher starts an embedded Valkey and hands its address on."""

    url: Annotated[str, AfterValidator(_redis_address)] = ""


class ServerSection(Section):
    """Where the web process listens, and the address by which phones reach it."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=16, ge=1, le=256)
    public_url: WebAddress


class WeChatSection(Section):
    """The platform's hosts: API, QR images, OAuth; and its JS-SDK, the one foreign script that pages run."""

    api_base: WebAddress = "https://api.weixin.qq.com"
    mp_base: WebAddress = "https://mp.weixin.qq.com"
    open_base: WebAddress = "https://open.weixin.qq.com"
    jssdk_url: ScriptAddress = "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"


class PaySection(Section):
    """WeChat Pay's host."""

    api_base: WebAddress = "https://api.mch.weixin.qq.com"


class SecretsSection(Section):
    """One master key of 32 bytes, in base64: here, or in a file that only the server can read."""

    key: OptionalSecret = None
    key_file: OptionalPath = None
    _master_key: bytes = PrivateAttr(default=b"")

    @model_validator(mode="after")
    def _read_key(self) -> "SecretsSection":
        if (self.key is None) == (self.key_file is None):
            raise ValueError("set exactly one of key and key_file")
        if self.key_file is None:
            text = self.key.get_secret_value() if self.key else ""
        else:
            try:
                text = self.key_file.read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"key_file {self.key_file} cannot be read: {error}") from error
        self._master_key = _decode_key(text)
        return self

    @property
    def master_key(self) -> bytes:
        """The 32 bytes from which every key of the installation is derived."""
        return self._master_key


def _decode_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError(
            f"the key is not base64 ({error}); `openssl rand -base64 32` makes one"
        ) from error
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"the key has {len(key)} bytes, not {KEY_BYTES}; `openssl rand -base64 32` makes one"
        )
    return key


class DataSection(Section):
    """`dir` holds what lives on this machine: spool, touches, embedded Valkey, SQLite."""

    dir: AbsolutePath = Field(default=Path("data"), validate_default=True)


class WebhooksSection(Section):
    """Where webhooks may lead: `private_addresses` lets them reach this machine and private networks."""

    private_addresses: bool = False


class DemoSection(Section):
    """For `make demo` and the tests: a movable clock, and the way to the simulator's phones."""

    enabled: bool = False
    clock_file: OptionalPath = None
    simulator_url: OptionalAddress = None

    @model_validator(mode="after")
    def _only_in_a_demo(self) -> "DemoSection":
        # A forgotten clock file would settle real commissions on a wrong day.
        if not self.enabled and (self.clock_file or self.simulator_url):
            raise ValueError("clock_file and simulator_url need enabled = true")
        return self


class Settings(Section):
    """Everything an installation decides for itself. See config.example.toml."""

    server: ServerSection
    secrets: SecretsSection
    database: DatabaseSection = Field(default_factory=DatabaseSection)
    redis: RedisSection = Field(default_factory=RedisSection)
    wechat: WeChatSection = Field(default_factory=WeChatSection)
    pay: PaySection = Field(default_factory=PaySection)
    data: DataSection
    webhooks: WebhooksSection = Field(default_factory=WebhooksSection)
    demo: DemoSection = Field(default_factory=DemoSection)

    @property
    def database_url(self) -> str:
        """SQLAlchemy's address of the database; SQLite in the data folder when none is set."""
        return self.database.url or f"sqlite:///{self.data.dir / 'banyan.db'}"

    @property
    def redis_url(self) -> str:
        """Address of Redis or Valkey. Raises ConfigError when nobody has given one."""
        if not self.redis.url:
            raise ConfigError(
                [
                    "[redis] url is empty: set it, or start through `make run`, which brings an embedded one"
                ]
            )
        return self.redis.url


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the file, lay the environment over it, check everything. Raises ConfigError with every problem found."""
    environ = os.environ if environ is None else environ
    path, values = _read_file(environ)
    problems = _lay_over(values, environ)
    # Two sections are always validated, so that what is missing in them is named as a key, and not as a section.
    for name in ("server", "secrets", "data"):
        values.setdefault(name, {})
    try:
        settings = Settings.model_validate(values, context={"folder": path.parent.resolve()})
    except ValidationError as error:
        problems += [
            _sentence(item["loc"], item["type"], item["msg"])
            for item in error.errors(include_input=False)
        ]
        if not path.exists():
            problems.append(
                f"(there is no {path}; copy config.example.toml, or name your file in {FILE_VARIABLE})"
            )
    if problems:
        raise ConfigError(problems)
    return settings


def _read_file(environ: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """A file that was named must be there; without the default one, the environment may say everything."""
    named = environ.get(FILE_VARIABLE)
    path = Path(named or DEFAULT_FILE)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named:
            raise ConfigError(
                [f"{FILE_VARIABLE} names {path}, and there is no such file"]
            ) from error
        return path, {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path} cannot be read: {error}"]) from error


def _lay_over(values: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Put `BANYAN_SECTION__KEY` variables over the file's values, in place; returns what is wrong with their names."""
    problems = []
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == FILE_VARIABLE:
            continue
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if not separator or section not in Settings.model_fields:
            problems.append(
                f"environment variable {name}: no such setting; the form is {PREFIX}SECTION__KEY"
            )
            continue
        table = values.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    return problems


def _sentence(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """One problem of pydantic's in the words of the file: `[server] port: …`."""
    section, key = str(location[0]), ".".join(str(part) for part in location[1:])
    place = f"[{section}] {key}".rstrip()
    if kind == "missing":
        return f"{place}: is required"
    if kind == "extra_forbidden":
        return f"{place}: no such {'key' if key else 'section'}{_nearest(section, key)}"
    return f"{place}: {message.removeprefix('Value error, ')}"


def _nearest(section: str, key: str) -> str:
    model: Any = Settings
    if key:
        model = Settings.model_fields[section].annotation
    near = difflib.get_close_matches(key or section, model.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""
