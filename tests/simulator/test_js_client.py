"""A JavaScript SDK from npm works unchanged. Only by `make js-client`: it needs Node and the npm registry, and a test
that a missing network breaks has no place in `make test`."""

import subprocess
from pathlib import Path

import pytest

from simulator.tls import CA
from tests.simulator.conftest import APP_ID, ROOT, SECRET, Callback, Sim, follower
from tests.simulator.test_tls import folder, tls_port, wechat  # noqa: F401  # fixtures

PACKAGE = "wechat-api@1.35.1"


@pytest.mark.npm
def test_wechat_api_from_npm_works_with_its_own_addresses(
    wechat: Sim,  # noqa: F811  # the fixtures above
    tls_port: int,  # noqa: F811
    folder: Path,  # noqa: F811
    callback: Callback,
    tmp_path: Path,
) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    wechat.account(callback_url=callback.url)
    openid = follower(wechat)
    wechat.control("text", user="小明", content="hello")
    script = ROOT / "tests" / "simulator" / "js_client.cjs"
    command = ["node", str(script), str(tmp_path), str(tls_port), APP_ID, SECRET, openid]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_EXTRA_CA_CERTS": str(folder / CA)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert wechat.chat("小明")[-1]["text"] == "你好"
