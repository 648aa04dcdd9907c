"""`make story`: scan → follow → bind → order paid → commissions → template messages → refund → settlement → claw-back,
told step by step without a browser, on a fresh installation that is thrown away. Exit status 0 only if every step came
out as told and the books balance."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from config import load_settings
from context import open_context
from demo import HOST, SLUG, Simulator, install

WAIT_SECONDS: Final = 60.0
FREEZE_DAYS: Final = 7


class Untrue(Exception):
    """A step did not come out as the story tells."""


class Story:
    """The people of the story, what they do, and what they see on their phones."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._step = 0

    def tell(self, sentence: str) -> None:
        self._step += 1
        print(f"{self._step:>2}. {sentence}")

    def says(self, user: str, content: str) -> str:
        """What the account answers at once."""
        return self._reply(self._simulator.post("/_sim/text", user=user, content=content))

    def taps(self, user: str, key: str) -> str:
        return self._reply(self._simulator.post("/_sim/click", user=user, key=key))

    def follows(self, user: str) -> str:
        return self._reply(self._simulator.post("/_sim/follow", user=user))

    def scans(self, user: str, image: int) -> str:
        return self._reply(self._simulator.post("/_sim/scan", user=user, image_message_id=image))

    @staticmethod
    def _reply(push: dict[str, Any]) -> str:
        if push["deliveries"][-1]["status"] != 200:
            raise Untrue(f"the push was answered with {push['deliveries'][-1]}")
        return str((push.get("reply") or {}).get("text", ""))

    def buys(self, user: str, sku: str) -> str:
        """The order number; the shop has reported the paid order."""
        order_no: str = self._simulator.post("/_sim/buy", user=user, sku=sku)["order"]["order_no"]
        return order_no

    def refunds(self, order_no: str, refund_fen: int | None = None) -> None:
        fields = {} if refund_fen is None else {"line_no": 1, "refund_fen": refund_fen}
        self._simulator.post(f"/_sim/orders/{order_no}/refund", **fields)

    def completes(self, order_no: str) -> None:
        self._simulator.post(f"/_sim/orders/{order_no}/complete")

    def days_pass(self, days: int) -> None:
        self._simulator.post("/_sim/clock", advance_seconds=days * 86400)

    def receives(self, user: str, wanted: str, of_type: str = "template", after: int = 0) -> Any:
        """The message of this type whose text contains `wanted`, as soon as it is on the phone."""

        def look() -> dict[str, Any] | None:
            messages = self._simulator.get(f"/_sim/chats/{user}?after={after}")["messages"]
            fitting = (
                one
                for one in messages
                if one["type"] == of_type and wanted in json.dumps(one, ensure_ascii=False)
            )
            return next(fitting, None)

        return self.until(look, f"{user} receives {of_type} {wanted!r}")

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """The first true value of `look`, which is asked until WAIT_SECONDS are over."""
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > give_up:
                raise Untrue(f"did not happen within {WAIT_SECONDS:.0f} s: {what}")
            time.sleep(0.1)


def expect(sentence: str, text: str, *wanted: str) -> None:
    """Print what was read; every wanted piece must be in it."""
    print("      " + text.strip().replace("\n", "\n      "))
    missing = [one for one in wanted if one not in text]
    if missing:
        raise Untrue(f"{sentence}: no {missing} in {text!r}")


def tell(story: Story) -> None:
    """The story itself: three generations, one order of ¥128, two refunds, one settlement."""
    story.tell("Alice 关注公众号，告诉我们她的昵称")
    story.follows("Alice")
    expect("the nickname is kept", story.says("Alice", "昵称 Alice"), "Alice")

    story.tell("Alice 点「我的海报」，海报由后台任务生成后送到聊天里")
    story.taps("Alice", "我的海报")
    alices = story.receives("Alice", "", of_type="image")

    story.tell("Bob 扫 Alice 的海报并关注，绑定 Alice 为推荐人")
    expect("Bob is bound", story.scans("Bob", alices["id"]), "Alice")
    story.says("Bob", "昵称 Bob")
    story.receives("Alice", "新成员")

    story.tell("小周 扫 Bob 的海报并关注：三代人")
    story.taps("Bob", "我的海报")
    bobs = story.receives("Bob", "", of_type="image")
    expect("the third is bound", story.scans("小周", bobs["id"]), "Bob")
    story.says("小周", "昵称 小周")

    story.tell("小周 买 ¥128 的茶，商城通过签名接口上报订单")
    order_no = story.buys("小周", "tea-128")

    story.tell("Bob 收到一级佣金 ¥12.80，Alice 收到二级佣金 ¥6.40（模板消息）")
    story.receives("Bob", "12.80")
    story.receives("Alice", "6.40")
    expect("frozen at first", story.taps("Alice", "我的收益"), "6.40")
    expect("why", story.says("Alice", "为什么"), "6.40", "5%")

    story.tell("小周 退了 ¥28：两级佣金按原比例减少")
    story.refunds(order_no, 2800)
    story.receives("Bob", "2.80")
    expect("reduced", story.taps("Bob", "我的收益"), "10.00")

    story.tell(f"确认收货，{FREEZE_DAYS} 天后自动结算")
    story.completes(order_no)
    story.days_pass(FREEZE_DAYS + 1)
    story.receives("Bob", "结算")
    expect("available", story.taps("Bob", "我的收益"), "10.00")

    story.tell("结算之后小周把剩下的也退了：佣金从可提现里追回")
    story.refunds(order_no)
    story.receives("Bob", "追回")
    expect("taken back", story.taps("Bob", "我的收益"), "0.00")
    expect("the team", story.taps("Alice", "我的团队"), "1")


def balance() -> None:
    """The books and the tree prove themselves, by the commands an operator would use."""
    for command in (["ledger", "check"], ["members", "check"]):
        done = subprocess.run(
            [sys.executable, "-m", "flask", *command], capture_output=True, text=True, check=False
        )
        print(f"    flask {' '.join(command)}: {done.stdout.strip()}")
        if done.returncode != 0 or not json.loads(done.stdout)["ok"]:
            raise Untrue(f"flask {' '.join(command)}: {done.stdout} {done.stderr}")


def main() -> int:
    """Runs inside the launcher, when everything else is up."""
    context = open_context(load_settings())
    simulator, _account = install(context)
    for name in ("Alice", "Bob", "小周"):
        simulator.post("/_sim/users", name=name)
    try:
        tell(Story(simulator))
        balance()
    except Untrue as error:
        print(f"    ✗ {error}", file=sys.stderr)
        return 1
    print(f"    ✓ the books balance ({SLUG} on {HOST})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
