"""Real processes, cold, at the same moment."""

from __future__ import annotations

import subprocess
import sys

import redis

from tests.wechat.conftest import store, stub, valkey_address
from tests.wechat.stub import Stub

__all__ = ["store", "stub", "valkey_address"]

PROCESSES = 8
PROGRAM = """
import sys, redis
from wechat.client import PlatformClient
url, port = sys.argv[1], int(sys.argv[2])
client = PlatformClient("wx-test", lambda: "the-app-secret", store=redis.Redis(port=port),
                        api_base=url, mp_base=url, open_base=url)
print("ready", flush=True)
sys.stdin.readline()
print(client.tokens.current().value, flush=True)
"""


def test_eight_cold_processes_fetch_one_token(stub: Stub, store: redis.Redis) -> None:
    port = str(store.get_connection_kwargs()["port"])
    processes = [
        subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
            [sys.executable, "-c", PROGRAM, stub.url, port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate(timeout=30)[0] for process in processes] == ["T1\n"] * PROCESSES
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len(stub.token_calls) == 1
