"""Real processes, cold, at the same moment."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

from tests.wechat.stub import Stub

PROCESSES = 8
PROGRAM = """
import sys, redis
from wechat.client import PlatformClient
url, store = sys.argv[1], redis.Redis.from_url(sys.argv[2])
client = PlatformClient("wx-test", lambda: "the-app-secret", store=store,
                        api_base=url, mp_base=url, open_base=url)
print("ready", flush=True)
sys.stdin.readline()
print(client.tokens.current().value, flush=True)
"""


def test_eight_cold_processes_fetch_one_token(redis_url: str) -> None:
    with closing(Stub()) as stub:
        assert tokens_of_cold_processes(stub, redis_url) == ["T1"] * PROCESSES
        assert len(stub.token_calls) == 1


def tokens_of_cold_processes(stub: Stub, redis_url: str) -> list[str]:
    """What each process got; all are started first, and let go together."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, stub.url, redis_url],
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
        return [process.communicate(timeout=30)[0].strip() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
