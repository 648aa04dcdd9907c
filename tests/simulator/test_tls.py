"""https under WeChat's own names: clients whose addresses are fixed in their code work unchanged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
import urllib3
import werobot.client
from cryptography import x509
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpy import WeChatClient

from simulator.tls import CA, HOSTS, KEY, prepare
from tests.simulator.conftest import APP_ID, SECRET, Sim, free_port, start, stop
from tests.simulator.test_pay import API_KEY, MCH_ID, PRIVATE, SERIAL, merchant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates, made once."""
    made: Path = tmp_path_factory.mktemp("tls")
    prepare(made)
    return made


@pytest.fixture(scope="module")
def tls_port(folder: Path) -> Iterator[int]:
    port = free_port()
    process = start(port, "--tls", str(folder), ca=folder / CA)
    yield port
    stop(process)


@pytest.fixture
def wechat(tls_port: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Sim:
    """The simulator in WeChat's place: its names lead to it, and its CA is trusted."""
    real = urllib3.util.connection.create_connection

    def mapped(address: tuple[str, int], *rest: Any, **more: Any) -> Any:
        host, _ = address
        return real(("127.0.0.1", tls_port) if host in HOSTS else address, *rest, **more)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", mapped)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / CA))
    sim = Sim("https://api.weixin.qq.com")
    sim.control("reset")
    sim.account()
    return sim


def test_wechatpy_works_with_its_own_addresses(wechat: Sim) -> None:
    openid = wechat.user("小明")
    client = WeChatClient(APP_ID, SECRET)
    assert client.user.get(openid) == {"subscribe": 0, "openid": openid}
    scene = {"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "a"}}}
    code = client.qrcode.create(scene)
    assert client.qrcode.show(code["ticket"]).headers["Content-Type"] == "image/jpg"


def test_werobots_client_works_with_its_own_addresses(wechat: Sim) -> None:
    client = werobot.client.Client({"APP_ID": APP_ID, "APP_SECRET": SECRET})
    client.create_menu({"button": [{"type": "click", "name": "团队", "key": "TEAM"}]})
    assert client.get_menu()["menu"]["button"][0]["key"] == "TEAM"
    assert client.get_ip_list() == {"ip_list": ["127.0.0.1"]}


def test_wechatpayv3_works_with_its_own_address_and_downloads_certificates(wechat: Sim) -> None:
    merchant(wechat, signs_with="certificate")
    pay = WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=MCH_ID,
        private_key=PRIVATE,
        cert_serial_no=SERIAL,
        apiv3_key=API_KEY,
        appid=APP_ID,
        notify_url="https://example.com/notify",
        timeout=(3, 10),
    )
    status, text = pay.query(out_trade_no="order-0001")
    assert (status, "ORDER_NOT_EXIST" in text) == (404, True)


def test_nobody_else_is_trusted_and_the_key_is_private(wechat: Sim, folder: Path) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{wechat.url}/healthz", verify=certifi.where(), timeout=5)
    assert (folder / KEY).stat().st_mode & 0o077 == 0
    ca = x509.load_pem_x509_certificate((folder / CA).read_bytes())
    before = ca.serial_number
    prepare(folder)
    again = x509.load_pem_x509_certificate((folder / CA).read_bytes())
    assert again.serial_number == before
