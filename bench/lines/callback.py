"""我的收益 by a text message, through the real server: requests a second, and the tail below full load."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests
from sqlalchemy.engine import make_url
from werobot.crypto import MessageCrypt

from bench.measure import Row, Spread, against
from bench.peer import ASKED
from bench.seed import MASTER_KEY, Place, openid_of
from bench.world import World
from tests.support.waiting import until

ROOT: Final = Path(__file__).parents[2]
_REPLAY: Final = ROOT / "bench" / "replay.lua"
_REQUESTS: Final = 20_000
_WORKERS: Final = 2
_THREADS: Final = 16
_CONNECTIONS: Final = 16
_PATIENT_CONNECTIONS: Final = 64
_LOAD: Final = 0.7


def earnings(world: World) -> Iterator[Row]:
    """Each size in plain and in safe mode, against WeRoBot's own view with one read by hand."""
    for members in world.scale.sizes:
        place = world.place(members)
        for mode in ("plain", "safe"):
            with tempfile.TemporaryDirectory(prefix="banyan-bench-") as folder:
                yield _one(world, place, mode, Path(folder))


def _one(world: World, place: Place, mode: str, folder: Path) -> Row:
    scale = world.scale
    _set_mode(place, mode)
    ports = dict(zip(("ours", "peer"), scale.ports, strict=True))
    with (
        _ours(world, place, folder, ports["ours"]) as ours_pid,
        _peer(place, mode, folder, ports["peer"]) as peer_pid,
    ):
        for port in ports.values():
            _check_answer(place, mode, port)
        pids = {"ours": ours_pid, "peer": peer_pid}
        cpu: dict[str, float] = dict.fromkeys(pids, 0.0)
        rates: dict[str, list[float]] = {side: [] for side in ports}
        files = {side: folder / side for side in ports}
        errors = 0
        for number in range(0 if scale.warm_up else 1, scale.rounds + 1):
            for side, port in ports.items():
                _write_requests(place, mode, port, files[side])
                seconds = scale.seconds if number else min(scale.seconds, 1.0)
                before = _cpu_seconds(pids[side])
                done = _wrk(port, files[side], seconds, _CONNECTIONS)
                errors += done["errors"] if side == "ours" else 0
                if number:  # the first is the warm-up
                    rates[side].append(done["requests"] / done["seconds"])
                    spent = (_cpu_seconds(pids[side]) - before) / max(1, done["requests"])
                    cpu[side] += spent / scale.rounds
        ours = Spread.of(rates["ours"])
        _write_requests(place, mode, ports["ours"], files["ours"])
        pause_ms = _PATIENT_CONNECTIONS / (_LOAD * ours.median) * 1000
        calm = _wrk(
            ports["ours"], files["ours"], scale.seconds, _PATIENT_CONNECTIONS, pause_ms=max(pause_ms - 2, 1)
        )  # fmt: skip
    ratio = against(rates["ours"], rates["peer"])
    errors += calm["errors"]
    return Row(
        line="callback",
        what=f"{ASKED}, {mode}",
        members=place.members,
        unit="requests/s",
        ours=ours,
        peer_name="WeRoBot's Flask view with one PyMySQL read",
        peer=Spread.of(rates["peer"]),
        ratio=ratio,
        target=">= 0.8, p99 < 100 ms at 70 % load, no error",
        met=ratio.median >= 0.8 and calm["p99_ms"] < 100 and not errors,
        notes={
            "errors": errors,
            "calm_load": round(calm["requests"] / calm["seconds"] / ours.median, 2),
            "calm_p50_ms": calm["p50_ms"],
            "calm_p99_ms": calm["p99_ms"],
            "server_cpu_us": round(cpu["ours"] * 1e6, 1),
            "peer_server_cpu_us": round(cpu["peer"] * 1e6, 1),
        },
    )


def _set_mode(place: Place, mode: str) -> None:
    with place.connect() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE account SET mode = %s", (mode,))
        connection.commit()


# --- the two servers ------------------------------------------------------------------------------------------------


@contextmanager
def _ours(world: World, place: Place, folder: Path, port: int) -> Generator[int]:
    """`flask serve` with settings of its own."""
    settings = {
        "SERVER__PORT": str(port), "SERVER__WORKERS": str(_WORKERS), "SERVER__THREADS": str(_THREADS),
        "SERVER__PUBLIC_URL": f"http://127.0.0.1:{port}", "DATABASE__URL": place.url, "REDIS__URL": world.redis_url,
        "SECRETS__KEY": base64.b64encode(MASTER_KEY).decode(), "DATA__DIR": str(folder / "data"),
    }  # fmt: skip
    config = folder / "config.toml"
    config.touch()
    environ = {f"BANYAN_{name}": value for name, value in settings.items()}
    command = [str(Path(sys.executable).with_name("flask")), "serve"]
    environ["BANYAN_CONFIG"] = str(config)
    url = f"http://127.0.0.1:{port}/healthz"
    with _serving(command, environ, folder / "ours.log", url) as pid:
        yield pid


@contextmanager
def _peer(place: Place, mode: str, folder: Path, port: int) -> Generator[int]:
    database = make_url(place.url)
    told = {
        "token": place.account.token, "app_id": place.account.app_id,
        "aes_key": place.account.aes_key if mode == "safe" else "",
        "mysql": {
            "host": database.host, "port": database.port, "user": database.username, "password": database.password,
            "database": database.database,
        },
    }  # fmt: skip
    command = [
        str(Path(sys.executable).with_name("granian")), "--interface", "wsgi", "--factory", "--host", "127.0.0.1",
        "--port", str(port), "--workers", str(_WORKERS), "--blocking-threads", str(_THREADS),
        "--http", "1", "--no-ws", "--respawn-failed-workers", "bench.peer:create_app",
    ]  # fmt: skip
    environ = {"BENCH_PEER": json.dumps(told)}
    url = f"http://127.0.0.1:{port}/wechat/bench"
    with _serving(command, environ, folder / "peer.log", url) as pid:
        yield pid


@contextmanager
def _serving(command: list[str], environ: dict[str, str], log: Path, url: str) -> Generator[int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**clean, **environ}, stdout=output, stderr=output
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended:\n{log.read_text(errors='replace')[-3000:]}")
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=5).status_code < 500
        return False

    try:
        until(answers, 60, what=f"{url}, see {log}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cpu_seconds(pid: int) -> float:
    """Processor time of a server so far, its workers included: what a request costs, also on a busy machine."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_seconds(int(child)) for child in children)


# --- the requests ---------------------------------------------------------------------------------------------------

_message_ids = itertools.count(time.time_ns() // 1000)


def push(place: Place, mode: str, member_id: int, words: str = ASKED) -> tuple[str, bytes]:
    """Path with a fresh signature, and body, of one text message."""
    account, now = place.account, str(int(time.time()))
    nonce = str(random.randrange(10**9))
    body = (
        f"<xml><ToUserName><![CDATA[{account.gh_id}]]></ToUserName>"
        f"<FromUserName><![CDATA[{openid_of(member_id)}]]></FromUserName><CreateTime>{now}</CreateTime>"
        f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{words}]]></Content>"
        f"<MsgId>{next(_message_ids)}</MsgId></xml>"
    )
    path = f"/wechat/bench?signature={_signature(account.token, now, nonce)}&timestamp={now}&nonce={nonce}"
    if mode == "safe":
        crypt = MessageCrypt(account.token, account.aes_key, account.app_id)
        sealed = crypt.prp_crypto.encrypt(body, account.app_id).decode()
        body = (
            f"<xml><ToUserName><![CDATA[{account.gh_id}]]></ToUserName>"
            f"<Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
        )
        signed = _signature(account.token, now, nonce, sealed)
        path += f"&encrypt_type=aes&msg_signature={signed}"
    return path, body.encode()


def _signature(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324 - WeChat's choice


def _write_requests(place: Place, mode: str, port: int, file: Path) -> None:
    """Whole requests of different followers, each with its length in front."""
    count = min(_REQUESTS, max(500, place.members * 2))
    with file.open("wb") as output:
        for _ in range(count):
            path, body = push(place, mode, random.randint(1, place.members))
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/xml\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            output.write(f"{len(head) + len(body):08d}{head}".encode() + body)


def _check_answer(place: Place, mode: str, port: int) -> None:
    """Both sides tell the star the same: 35 % of everybody below them."""
    path, body = push(place, mode, 1)
    answer = requests.post(
        f"http://127.0.0.1:{port}{path}", body, headers={"Content-Type": "text/xml"}, timeout=10
    )
    text = answer.text
    if mode == "safe":
        crypt = MessageCrypt(place.account.token, place.account.aes_key, place.account.app_id)
        start = text.index("<Encrypt>") + len("<Encrypt>")
        sealed = (
            text[start : text.index("</Encrypt>")].removeprefix("<![CDATA[").removesuffix("]]>")
        )
        text = crypt.prp_crypto.decrypt(sealed, place.account.app_id).decode()
    if f"我的团队 {place.members * 35 // 100} 人" not in text:
        raise RuntimeError(f"port {port}, {mode}: {answer.status_code} {text}")


def _wrk(
    port: int, file: Path, seconds: float, connections: int, pause_ms: float | None = None
) -> Any:
    command = [
        "wrk", "-t2", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(_REPLAY),
        f"http://127.0.0.1:{port}", "--", str(file), *([] if pause_ms is None else [f"{pause_ms:.2f}"]),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
