"""`make demo`: an installation of Banyan with a fake WeChat beside it, seeded, running until Ctrl-C.

Everything the demonstration does goes the way a merchant's installation would: pushes from the simulator, orders over
the signed shop API, messages by the workers. Only the account, its rule and its products are written directly.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import requests

import launch
from config import ConfigError, load_settings
from context import Context, open_context
from domain import accounts, api_keys, members, menu, notices, products, rules, scenes, staff
from domain.accounts import OpenAccount
from domain.rules import Terms
from wechat import api

HOST: Final = "127.0.0.1"
SLUG: Final = "demo"
DATA: Final = Path(__file__).parent / "data" / "demo"
PYTHON: Final = sys.executable
STORY: Final = Path(__file__).parent / "story.py"
TIMEOUT_SECONDS: Final = 20

LOGIN: Final = "demo"
PASSWORD: Final = "banyan-demo"  # noqa: S105 # printed at every start of the demonstration, and used nowhere else
"""The owner of the demonstration's account, for the console."""

ALICE: Final = "Alice"
BOB: Final = "Bob"
FRIEND: Final = "小林"

GOODS: Final = (
    ("tea-128", "正山小种 礼盒", 12800, None),
    ("cup-59", "手绘茶杯", 5900, None),
    ("rice-88", "五常大米 5kg", 8800, Terms((5000, 3000, 2000), pool_bps=1000)),
)
"""sku, name, price in fen, own commission terms (a pool of 10 % shared 50/30/20 for the rice)."""

TEMPLATES: Final = {
    notices.FRIEND_JOINED: (
        "TPL_FRIEND_JOINED", "新成员加入通知", "好友：{{thing1.DATA}}\n状态：{{phrase2.DATA}}\n时间：{{time3.DATA}}",
    ),
    notices.COMMISSION_ACCRUED: (
        "TPL_COMMISSION_ACCRUED", "佣金到账提醒",
        "好友：{{thing1.DATA}}\n层级：{{thing2.DATA}}\n消费：{{amount3.DATA}}\n佣金：{{amount4.DATA}}\n状态：{{phrase5.DATA}}",
    ),
    notices.COMMISSION_SETTLED: (
        "TPL_COMMISSION_SETTLED", "佣金结算通知",
        "金额：{{amount1.DATA}}\n笔数：{{number2.DATA}}\n状态：{{phrase3.DATA}}\n时间：{{time4.DATA}}",
    ),
    notices.COMMISSION_VOIDED: (
        "TPL_COMMISSION_VOIDED", "佣金失效通知",
        "订单编号：{{character_string1.DATA}}\n金额：{{amount2.DATA}}\n状态：{{phrase3.DATA}}\n时间：{{time4.DATA}}",
    ),
    notices.COMMISSION_CLAWED_BACK: (
        "TPL_COMMISSION_CLAWED_BACK", "佣金追回通知",
        "订单编号：{{character_string1.DATA}}\n金额：{{amount2.DATA}}\n状态：{{phrase3.DATA}}\n时间：{{time4.DATA}}",
    ),
}  # fmt: skip
"""Occasion → template id, title and text, as the merchant has them at WeChat."""

GUIDE: Final = (
    {"text": "Alice 点菜单「我的」里的「我的海报」", "user": ALICE, "does": "image", "what": ""},
    {
        "text": "Bob 点右上角「扫一扫」，扫 Alice 的海报",
        "user": BOB,
        "does": "follow",
        "what": "",
    },
    {"text": "Bob 点手机下面的「购买 ¥128」", "user": BOB, "does": "buy", "what": ""},
    {
        "text": "Alice 收到佣金通知，再看「我的收益」",
        "user": ALICE,
        "does": "template",
        "what": "12.80",  # not the card of the first friend's order, which may come after the guide
    },
)


@dataclass(frozen=True)
class Place:
    """Where a demonstration lives: its folder and the ports of the product and of the simulator."""

    folder: Path
    port: int = 8000
    simulator_port: int = 8100

    @property
    def product(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def simulator(self) -> str:
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def clock_file(self) -> Path:
        return self.folder / "clock.json"

    def environ(self) -> dict[str, str]:
        """The settings of the demonstration, all from the environment; the master key is made at the first start."""
        key_file = self.folder / "secret.key"
        if not key_file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            key_file.touch(mode=0o600)
            key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")
        }
        config = self.folder / "config.toml"
        config.touch()  # an empty file of our own, so that a config.toml of the user's is not read
        return (
            inherited
            | {
                "BANYAN_CONFIG": str(config),
                "BANYAN_SERVER__HOST": HOST,
                "BANYAN_SERVER__PORT": str(self.port),
                "BANYAN_SERVER__WORKERS": "1",
                "BANYAN_SERVER__THREADS": "4",
                "BANYAN_SERVER__PUBLIC_URL": self.product,
                "BANYAN_WECHAT__API_BASE": self.simulator,
                "BANYAN_WECHAT__MP_BASE": self.simulator,
                "BANYAN_WECHAT__OPEN_BASE": self.simulator,
                "BANYAN_WECHAT__JSSDK_URL": f"{self.simulator}/_sim/bridge.js",
                "BANYAN_PAY__API_BASE": self.simulator,
                "BANYAN_SECRETS__KEY_FILE": str(key_file),
                "BANYAN_DATA__DIR": str(self.folder),
                "BANYAN_DEMO__ENABLED": "true",
                "BANYAN_WEBHOOKS__PRIVATE_ADDRESSES": "true",  # whatever is tried out here is on this machine
                "BANYAN_DEMO__CLOCK_FILE": str(self.clock_file),
                "BANYAN_DEMO__SIMULATOR_URL": self.simulator,
            }
        )


# --- the processes --------------------------------------------------------------------------------------------------


def processes(place: Place, last: launch.Process) -> tuple[list[launch.Process], dict[str, str]]:
    """Everything that runs, in the order of starting, and its environment; `last` starts when all the rest is up."""
    environ = place.environ()
    first, environ = launch.with_redis(load_settings(environ), environ)
    release, *others = launch.procfile()
    release = replace(release, quiet=True)  # its setup code is for owners who are not seeded
    simulator = launch.Process(
        "simulator",
        [
            PYTHON, "-m", "simulator", "--host", HOST, "--port", str(place.simulator_port),
            "--clock-file", str(place.clock_file), "--state-file", str(place.folder / "simulator.json"),
        ],
        ready=lambda: _answers(f"{place.simulator}/healthz"),
        serves_others=True,
    )  # fmt: skip
    ready = {"web": lambda: _answers(f"{place.product}/healthz")}
    doors = [launch.Process(one.name, one.command, ready=ready.get(one.name)) for one in others]
    return [*first, release, simulator, *doors, last], environ


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def run() -> int:
    """The demonstration, until a signal."""
    place = Place(DATA)
    seed = launch.Process("seed", [PYTHON, str(Path(__file__)), "seed"], finishes=True)
    everything, environ = processes(place, seed)
    return launch.launch(everything, environ)


def run_story() -> int:
    """`make story`: the same processes on free ports and a folder that is thrown away; the story ends them all."""
    with tempfile.TemporaryDirectory(prefix="banyan-story-") as folder:
        place = Place(Path(folder), launch.free_port(), launch.free_port())
        story = launch.Process("story", [PYTHON, str(STORY)], finishes=True, ends_all=True)
        everything, environ = processes(place, story)
        quiet = [replace(one, quiet=one is not story) for one in everything]
        return launch.launch(quiet, environ)


# --- the seed -------------------------------------------------------------------------------------------------------


class Simulator:
    """The control API of the simulator, as far as the demonstration needs it."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._http = requests.Session()

    def get(self, path: str) -> dict[str, Any]:
        return self._answer("GET", path, None)

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        return self._answer("POST", path, fields)

    def _answer(self, method: str, path: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = self._http.request(method, self._base + path, json=fields, timeout=TIMEOUT_SECONDS)
        if not answer.ok:
            raise RuntimeError(f"the simulator refused {path}: {answer.text}")
        value: dict[str, Any] = answer.json()
        return value


def seed(context: Context) -> None:
    """The installation, and a small team that came by real scans. A second start finds yesterday's demonstration."""
    simulator, account = install(context)
    _owner(context, account)
    if not simulator.get("/_sim/users")["users"]:
        _people(context, account, simulator)


def install(context: Context) -> tuple[Simulator, OpenAccount]:
    """The account with its rule, products, templates and menu, and the shop, on both sides. What is there already
    stays as it is."""
    address = context.settings.demo.simulator_url
    if address is None:
        raise ConfigError(["[demo] simulator_url: the demonstration needs its simulator"])
    simulator = Simulator(address)
    account, shop_key = _account(context)
    simulator.post(
        "/_sim/accounts",
        app_id=account.app_id, secret=account.app_secret, token=account.token, aes_key=account.aes_key,
        gh_id=account.gh_id, name=account.name, mode=account.mode, unionid=True,
        web_cookie=f"banyan_m_{account.slug}", web_cookie_path=f"/m/{account.slug}/",
        callback_url=f"{context.settings.server.public_url}/wechat/{account.slug}",
        templates=[
            {"template_id": template_id, "title": title, "content": content}
            for template_id, title, content in TEMPLATES.values()
        ],
    )  # fmt: skip
    simulator.post(
        "/_sim/shops",
        name="榕树茶铺", account=account.app_id, base_url=context.settings.server.public_url, **shop_key,
        products=[{"sku": sku, "title": name, "price_fen": price} for sku, name, price, _ in GOODS],
    )  # fmt: skip
    pages = f"{context.settings.server.public_url}/m/{account.slug}"
    api.create_menu(context.platform(account), menu.default_menu(pages))
    return simulator, account


def _account(context: Context) -> tuple[OpenAccount, dict[str, str]]:
    """The demonstration's account, made at the first start, and the shop's API key from its file."""
    key_file = context.settings.data.dir / "shop.json"

    def make(session: Any) -> dict[str, str]:
        now = context.clock.now()
        row = accounts.add(
            session, context.keyring,
            slug=SLUG, name="榕树生活馆", app_id="wxdemo0000000001", gh_id="gh_demo00000001",
            app_secret=secrets.token_hex(16), token=secrets.token_hex(12),
            aes_key=secrets.token_hex(22)[:43], mode="safe", depth=3, now=now,
        )  # fmt: skip
        account = accounts.unseal(row, context.keyring)
        rules.add(
            session, row.id, terms=Terms((1000, 500, 200)), max_total_bps=account.settings.max_total_bps, depth=3,
            freeze_days=7, effective_at=now - timedelta(days=1), actor="demo", now=now,
        )  # fmt: skip
        for sku, name, price_fen, terms in GOODS:
            products.put(
                session,
                account,
                sku,
                name=name,
                price_fen=price_fen,
                stock=1000,
                terms=terms,
                now=now,
            )
        for occasion, (template_id, *_) in TEMPLATES.items():
            notices.set_template(session, row.id, occasion, template_id)
        public, secret = api_keys.add(session, context.keyring, row.id, now=now)
        return {"key": public, "secret": secret}

    known = context.database.read(lambda session: [one.slug for one in accounts.all_of(session)])
    if SLUG not in known:
        shop_key = context.database.transact(make)
        key_file.touch(mode=0o600)
        key_file.write_text(json.dumps(shop_key))
    account = context.database.read(
        lambda session: accounts.unseal(accounts.get(session, SLUG), context.keyring)
    )
    return account, json.loads(key_file.read_text())


def _owner(context: Context, account: OpenAccount) -> None:
    """Somebody who may sign in to the console; a login that exists keeps its password."""
    now = context.clock.now()

    def add(session: Any) -> None:
        if staff.find(session, LOGIN) is None:
            person = staff.add(
                session, login=LOGIN, password=PASSWORD, opens_accounts=True, now=now
            )
            staff.grant(session, person.id, account.id, staff.OWNER)

    context.database.transact(add)


def _people(context: Context, account: OpenAccount, simulator: Simulator) -> None:
    """Alice with one friend who has bought already; Bob, who does not follow yet."""
    openids = {}
    for name in (ALICE, BOB, FRIEND):
        user = simulator.post("/_sim/users", name=name)
        openids[name] = user["openids"][account.app_id]
    simulator.post("/_sim/follow", user=ALICE)
    simulator.post("/_sim/text", user=ALICE, content=f"昵称 {ALICE}")
    simulator.post("/_sim/scan", user=FRIEND, ticket=_ticket(context, account, openids[ALICE]))
    simulator.post("/_sim/text", user=FRIEND, content=f"昵称 {FRIEND}")
    simulator.post("/_sim/buy", user=FRIEND, sku="cup-59")
    simulator.post("/_sim/guide", steps=list(GUIDE))


def _ticket(context: Context, account: OpenAccount, openid: str) -> str:
    """A QR ticket for the member's own code, from the platform."""
    now = context.clock.now()

    def scene_of(session: Any) -> Any:
        member = members.get(session, account.id, openid)
        return scenes.of_member(session, account.id, member.id, now)

    scene = context.database.transact(scene_of)
    days = 30
    code = api.create_qrcode(context.platform(account), scene.code, expire_seconds=days * 86400)
    context.database.transact(
        lambda session: scenes.record_ticket(
            session,
            scene,
            ticket=code.ticket,
            url=code.url,
            expires_at=now + timedelta(days=days),
            now=now,
        )
    )
    return code.ticket


def welcome(place: Place) -> None:
    """Where to look."""
    print(f"""
  Banyan 榕树 is running.

    Phones (the simulator's WeChat)   {place.simulator}/
    Console                           {place.product}/console/
                                      login {LOGIN}, password {PASSWORD}
    Shop API                          {place.product}/api/v1/docs

  Alice asks for her poster, Bob scans it and follows, Bob buys ¥128, Alice hears of her commission.
  Ctrl-C stops everything; `make demo-reset` forgets the data.
""")


def main(arguments: Sequence[str]) -> int:
    """The demonstration, or with `story` the story; `seed` is a step that the demonstration runs inside itself."""
    try:
        if list(arguments) == ["seed"]:
            context = open_context(load_settings())
            seed(context)
            welcome(Place(DATA, context.settings.server.port))
            return 0
        if not arguments:
            return run()
        if list(arguments) == ["story"]:
            return run_story()
    except (ConfigError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print("usage: python demo.py [story]", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
