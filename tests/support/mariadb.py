"""A real MariaDB of one's own: data in a temporary folder, loopback only, gone when the tests end."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from tests.support.ports import free_port
from tests.support.waiting import until

USER = "banyan"
PASSWORD = "only-for-tests"
_PREFIX = "banyan-mariadb-"
_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def _program(name: str) -> str:
    found = shutil.which(name, path=_PLACES)
    if found is None:
        raise RuntimeError(f"{name} is missing: tests/services.sh installs it or says how")
    return found


def _owner() -> list[str]:
    """mariadbd refuses to be root, so root starts it as mysql (or nobody, where only the server core is there)."""
    if os.geteuid() != 0:
        return []
    names = {each.pw_name for each in pwd.getpwall()}
    return [f"--user={'mysql' if 'mysql' in names else 'nobody'}"]


@dataclass
class MariaDB:
    """One server. `options` are mariadbd's (`binlog`, Galera, a small lock timeout, what a test needs)."""

    folder: Path
    options: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Make the data directory with the system tables (0.6 s)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if owner := _owner():
            shutil.chown(self.folder, owner[0].removeprefix("--user="))
        command = [
            "mariadb-install-db", "--no-defaults", *_owner(), f"--datadir={self.data}", self._tmpdir
        ]  # fmt: skip
        done = subprocess.run(
            [
                _program(command[0]),
                *command[1:],
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}\n{done.stderr}")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def _tmpdir(self) -> str:
        """Not the shared /tmp: a server that starts deletes every `#sql…` file there, also those of another."""
        return f"--tmpdir={self.folder}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = self.folder / "mariadbd.log"
        command = [
            _program("mariadbd"), "--no-defaults", *_owner(), f"--datadir={self.data}", self._tmpdir,
            f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
            f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}",
            "--character-set-server=utf8mb4", "--transaction-isolation=READ-COMMITTED",
            # Tests need no durability, and eight of these fit on one machine.
            "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-doublewrite=0",
            # TRUNCATE and CREATE TABLE make no file (1 ms instead of 50), and nothing waits for the disk.
            "--innodb-file-per-table=0", "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=48M", "--innodb-log-file-size=32M", "--performance-schema=OFF",
            "--innodb-print-all-deadlocks=ON", "--max-connections=400",
            *self.options,
        ]  # fmt: skip
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
        until(self._answers, 30, what=f"MariaDB on port {self.port}, see {log}")

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(
                "mariadbd ended:\n" + (self.folder / "mariadbd.log").read_text()[-3000:]
            )
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def connect(self, database: str | None = None) -> pymysql.connections.Connection[Any]:
        """A connection as root, autocommitting: for administration, and for what only the server can tell."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            ssl_disabled=True,
            database=database,
            autocommit=True,
            charset="utf8mb4",
        )

    def make_database(self, name: str) -> str:
        """An empty database of an ordinary user, as a merchant's administrator would make it; its address."""
        with self.connect() as root, root.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
            for host in ("localhost", "127.0.0.1"):
                cursor.execute(
                    f"CREATE USER IF NOT EXISTS {USER}@'{host}' IDENTIFIED BY '{PASSWORD}'"
                )
                cursor.execute(f"GRANT ALL ON `{name}`.* TO {USER}@'{host}'")
        # Without TLS, which this server does not have: PyMySQL would read the system's certificates for every
        # connection (18 ms).
        return f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}?ssl_disabled=1"

    def stop(self) -> None:
        """Stop at once: nothing here is worth a tidy end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _sweep() -> None:
    """Remove servers whose test process was killed before it could stop them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if Path("/proc", folder.name.removeprefix(_PREFIX).split("-")[0]).exists():
            continue
        with contextlib.suppress(OSError, ValueError):  # gone already, or another's
            server = int((folder / "pid").read_text())
            if str(folder) in Path("/proc", str(server), "cmdline").read_text():
                os.kill(server, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_mariadb(*options: str, binlog: bool = False) -> Generator[MariaDB]:
    """A fresh server for the length of a block. `binlog=True` writes row events, as a server with replicas does."""
    wanted = list(options)
    if binlog:
        # Else an ordinary user may not create the triggers of append-only tables (error 1419).
        wanted += [
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--server-id=1",
            "--log-bin-trust-function-creators=1",
        ]
    # Not pytest's tmp_path: a socket's path has 107 bytes at most, and `mysql` must be able to enter the folder.
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    folder.chmod(0o755)
    server = MariaDB(folder, wanted)
    try:
        server.install()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
