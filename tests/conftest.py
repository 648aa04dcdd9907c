"""Fixtures that every area shares: real databases, a real Valkey, the simulator and the real server processes.

`database`        both engines, rolled back after each test: the one to take.
`live_database`   both engines, real commits, emptied after each test: for races, processes and crashes.
`mariadb`         the server itself, shared by the tests of one process.
`redis_url`       a real Valkey; flushed before each test that asks for it.
`paying`          an account that pays through WeChat Pay at the simulator.
`simulator`       a fake WeChat over HTTP, empty.  `app_server`: our own web, worker and clock processes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from domain.db import Database
from tests.support.compiled import keep_compiled
from tests.support.databases import Schemas, emptied, rolled_back
from tests.support.mariadb import MariaDB, running_mariadb
from tests.support.paying import Paying, open_paying
from tests.support.servers import AppServer, Simulator, running_app, running_simulator
from tests.support.valkey import running_valkey

ENGINES = ["sqlite", "mariadb"]
keep_compiled()


@pytest.fixture(scope="session")
def mariadb() -> Generator[MariaDB]:
    """One server for all tests of this process, with a binary log as production has."""
    with running_mariadb(binlog=True) as server:
        yield server


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Schemas:
    """Migrated databases. MariaDB is started by the first test that wants it."""
    return Schemas(tmp_path_factory.mktemp("schemas"), lambda: request.getfixturevalue("mariadb"))


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """`sqlite` and then `mariadb`: a test that takes it runs on both."""
    name: str = request.param
    return name


@pytest.fixture
def database(schemas: Schemas, engine_name: str) -> Generator[Database]:
    """An empty database on each engine; the test's transactions are savepoints, rolled back at its end."""
    with rolled_back(schemas.shared(engine_name)) as made:
        yield made


@pytest.fixture
def live_database(schemas: Schemas, engine_name: str) -> Generator[Database]:
    """An empty database on each engine with real commits, for threads and processes; emptied at the end."""
    with emptied(schemas.live(engine_name)) as made:
        yield made


@pytest.fixture(scope="session")
def valkey_url() -> Generator[str]:
    """One Valkey for all tests of this process. Take `redis_url`, which is empty."""
    with running_valkey() as url:
        yield url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The address of an empty Valkey."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Generator[Simulator]:
    """One fake WeChat for all tests of this process. Take `simulator`, which is empty."""
    with running_simulator(tmp_path_factory.mktemp("simulator")) as made:
        yield made


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    """A fake WeChat over HTTP in which nobody is, which does nothing wrong, and whose clock is right."""
    shared_simulator.forget()
    return shared_simulator


@pytest.fixture
def paying(
    tmp_path: Path, live_database: Database, redis_url: str, simulator: Simulator
) -> Generator[Paying]:
    """An account that pays through WeChat Pay, with a worker's inside and a notify address that answers."""
    with open_paying(tmp_path, live_database, redis_url, simulator) as made:
        yield made


@pytest.fixture
def app_server(
    tmp_path: Path, live_database: Database, redis_url: str
) -> Generator[Callable[..., AppServer]]:
    """Call it to start the real server: `app_server("web", "worker", "clock", settings={"wechat.api_base": url})`.

    It waits until the server is ready. Every process ends with the test.
    """
    with ExitStack() as stack:

        def start(*processes: str, settings: dict[str, str] | None = None) -> AppServer:
            wanted = {"database.url": live_database.url, "redis.url": redis_url, **(settings or {})}
            return stack.enter_context(running_app(tmp_path, processes or ("web",), wanted))

        yield start
