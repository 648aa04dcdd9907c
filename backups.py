"""The whole database as one file, and back: for `flask backup` and `flask restore`.

The file is a zip archive: `manifest.json` (schema version, rows and SHA-256 of every table, fingerprint of the master
key) and one file of JSON lines a table; for SQLite instead the database itself, copied with SQLite's online backup.
A backup is one instant, taken while the doors are open. A dump of MariaDB can be restored into SQLite and the other
way round. It is ours and not mariadb-dump's, because it then needs no client of the server's version, puts no
password on a command line, and can be checked row by row; a large site will want mariabackup beside it.

The master key is not in it: keep it elsewhere. Nor are the spool and the journal of touches, which are files of each
machine. A restored database knows less than WeChat and the shop do; what makes them agree again: docs/backup.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, Engine, inspect

import migrations
from domain.db import Database
from domain.secrets import Keyring

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SQLITE_FILE: Final = "database.sqlite"
CHUNK: Final = 1000
_VERSION_TABLE: Final = "alembic_version"


class BackupRefused(Exception):
    """The file cannot be trusted, or the place it should go to is not empty; the message says which."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `tables`: name → {"columns", "rows", "sha256"}; `key_check` recognises the master key."""

    engine: str
    version: str
    made_at: str
    key_check: str
    tables: dict[str, dict[str, Any]]
    file_sha256: str | None

    def as_value(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "engine": self.engine, "schema_version": self.version, "made_at": self.made_at,
            "master_key": "not included", "key_check": self.key_check, "tables": self.tables,
            "file_sha256": self.file_sha256,
        }  # fmt: skip

    @property
    def rows(self) -> int:
        return sum(int(table["rows"]) for table in self.tables.values())


def _key_check(keyring: Keyring) -> str:
    return keyring.blind_index("this installation", "backup")


# --- backup ---------------------------------------------------------------------------------------------------------


def backup(database: Database, keyring: Keyring, target: Path, now: datetime) -> Manifest:
    """Write one instant of the database to `target`, which must not exist; readable by its owner only.

    It appears under its name when it is whole. Raises `BackupRefused`, OSError.
    """
    if target.exists():
        raise BackupRefused(f"{target} exists already")
    part = target.with_name(target.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                write = _backup_sqlite if database.is_sqlite else _backup_server
                manifest = write(database, keyring, archive, now)
                archive.writestr(MANIFEST, json.dumps(manifest.as_value(), indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.link(
            part, target
        )  # unlike a rename, it never replaces a backup that somebody else made meanwhile
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _backup_sqlite(
    database: Database, keyring: Keyring, archive: zipfile.ZipFile, now: datetime
) -> Manifest:
    path = database.engine.url.database or ""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        copy = Path(folder) / SQLITE_FILE
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        engine = migrations.open_reader(f"sqlite:///{copy}")
        with engine.connect() as connection:
            tables = {name: _summary(connection, name) for name in _tables(connection)}
            version = migrations.current(connection)
        engine.dispose()
        digest = _digest_of(copy)
        archive.write(copy, SQLITE_FILE)
    return Manifest("sqlite", version or "", now.isoformat(), _key_check(keyring), tables, digest)


def _backup_server(
    database: Database, keyring: Keyring, archive: zipfile.ZipFile, now: datetime
) -> Manifest:
    tables = {}
    with database.snapshot() as session:
        connection = session.connection()
        version = migrations.current(connection)
        for name in _tables(connection):
            with archive.open(f"{name}.jsonl", "w", force_zip64=True) as file:
                tables[name] = _summary(connection, name, file)
    return Manifest("mariadb", version or "", now.isoformat(), _key_check(keyring), tables, None)


def _tables(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) - {_VERSION_TABLE})


def _summary(connection: Connection, table: str, file: IO[bytes] | None = None) -> dict[str, Any]:
    """Columns, rows and digest of a table, whose rows are written to `file` as they pass."""
    columns = [column["name"] for column in inspect(connection).get_columns(table)]
    digest, rows = hashlib.sha256(), 0
    for line in _lines(connection, table, columns):
        digest.update(line)
        rows += 1
        if file is not None:
            file.write(line)
    return {"columns": columns, "rows": rows, "sha256": digest.hexdigest()}


def _lines(connection: Connection, table: str, columns: Sequence[str]) -> Iterator[bytes]:
    """Rows as JSON lines, in the order of the primary key, as the driver gives them: no model of today between."""
    key = inspect(connection).get_pk_constraint(table)["constrained_columns"]
    names = ", ".join(_quoted(connection, one) for one in columns)
    order = ", ".join(_quoted(connection, one) for one in key)
    query = f"SELECT {names} FROM {_quoted(connection, table)} ORDER BY {order}"  # noqa: S608 - the catalogue's names
    streaming = connection.execution_options(yield_per=CHUNK)
    for row in streaming.exec_driver_sql(query):
        yield (json.dumps([_plain(value) for value in row], ensure_ascii=False) + "\n").encode()


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


def _plain(value: Any) -> Any:
    """A driver's value as JSON, the same from both engines."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return {"base64": base64.b64encode(value).decode()}
    return value


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- restore --------------------------------------------------------------------------------------------------------


def read_manifest(source: Path) -> Manifest:
    """The manifest of a backup file. Raises `BackupRefused` for another file."""
    try:
        with zipfile.ZipFile(source) as archive:
            value = json.loads(archive.read(MANIFEST))
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise BackupRefused(f"{source} is not a backup: {error}") from error
    if value.get("format") != FORMAT:
        raise BackupRefused(
            f"{source} has format {value.get('format')}, this release reads {FORMAT}"
        )
    return Manifest(
        value["engine"], value["schema_version"], value["made_at"], value["key_check"], value["tables"],
        value["file_sha256"],
    )  # fmt: skip


def restore(url: str, keyring: Keyring, source: Path, *, other_key: bool = False) -> Manifest:
    """Bring a backup into the empty database at `url`, row by row verified, and then to this release's tables.

    Raises `BackupRefused`: the database has rows, the file is damaged, it was made by a newer release, or under another
    master key (`other_key` accepts that: the accounts' secrets are then unreadable and must be entered again).
    """
    manifest = read_manifest(source)
    if not migrations.knows(manifest.version):
        raise BackupRefused(f"a newer release made this backup (schema {manifest.version})")
    if manifest.key_check != _key_check(keyring) and not other_key:
        raise BackupRefused("the backup was made under another master key than [secrets] has now")
    with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as folder:
        if archive.testzip() is not None:
            raise BackupRefused(f"{source} is damaged")
        lines_of = _reader(archive, Path(folder), manifest)
        for name, table in manifest.tables.items():
            _verify(name, table, lines_of(name))
        migrations.upgrade(url, manifest.version)
        target = migrations.open_engine(url)
        _fill(target, manifest, lines_of)
        target.dispose()
    migrations.upgrade(url)
    return manifest


Reader = Callable[[str], Iterator[bytes]]
"""The lines of a table, again each time it is called."""


def _reader(archive: zipfile.ZipFile, folder: Path, manifest: Manifest) -> Reader:
    if manifest.engine != "sqlite":
        return lambda name: _lines_in(archive, f"{name}.jsonl")
    copy = Path(archive.extract(SQLITE_FILE, folder))
    if _digest_of(copy) != manifest.file_sha256:
        raise BackupRefused(f"{SQLITE_FILE} is not the one of the manifest")
    engine = migrations.open_reader(f"sqlite:///{copy}")

    def lines(name: str) -> Iterator[bytes]:
        with engine.connect() as connection:
            yield from _lines(connection, name, manifest.tables[name]["columns"])

    return lines


def _lines_in(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    with archive.open(member) as file:
        yield from file


def _verify(name: str, table: dict[str, Any], lines: Iterable[bytes]) -> None:
    """Before anything is written: a file that is damaged, or was changed by hand, is said."""
    digest, rows = hashlib.sha256(), 0
    for line in lines:
        digest.update(line)
        rows += 1
    if (digest.hexdigest(), rows) != (table["sha256"], table["rows"]):
        raise BackupRefused(f"the rows of {name} are not those of the manifest")


def _fill(target: Engine, manifest: Manifest, lines_of: Reader) -> None:
    with target.connect() as connection:
        full = [name for name in _tables(connection) if _has_rows(connection, name)]
        if full:
            raise BackupRefused(f"the database is not empty: {', '.join(full[:5])}")
        connection.rollback()
        for name, table in manifest.tables.items():
            _fill_table(connection, name, table, lines_of(name))
        for name, table in manifest.tables.items():
            _verify(name, table, _lines(connection, name, table["columns"]))
        connection.rollback()


def _has_rows(connection: Connection, table: str) -> bool:
    query = f"SELECT 1 FROM {_quoted(connection, table)} LIMIT 1"  # noqa: S608 - a name from the catalogue
    return connection.exec_driver_sql(query).first() is not None


def _fill_table(
    connection: Connection, name: str, table: dict[str, Any], lines: Iterable[bytes]
) -> None:
    """Insert the rows, a thousand a transaction."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    names = ", ".join(_quoted(connection, one) for one in table["columns"])
    marks = ", ".join([mark] * len(table["columns"]))
    insert = f"INSERT INTO {_quoted(connection, name)} ({names}) VALUES ({marks})"  # noqa: S608 - as above
    left = iter(lines)
    while part := list(islice(left, CHUNK)):
        rows = [tuple(_stored(value) for value in json.loads(line)) for line in part]
        connection.exec_driver_sql(insert, rows)
        connection.commit()


def _stored(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value
