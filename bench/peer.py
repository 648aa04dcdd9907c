"""The least that a live answer can cost: WeRoBot's own Flask view, sessions off, and one read by hand in PyMySQL.

The seed has one row of figures a level, so that nothing is grouped or added up. Started as our own server is: granian
with the same workers and threads. `BENCH_PEER` is JSON: token, app_id, aes_key (empty in plain mode), and `mysql`, the
arguments of `pymysql.connect`.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Final

import pymysql
from flask import Flask
from werobot import WeRoBot
from werobot.config import Config
from werobot.contrib.flask import make_view

ASKED: Final = "我的收益"
_READ: Final = (
    "SELECT b.available_fen, b.withdrawing_fen, t.level, t.people, t.buyers, t.earned_fen, t.frozen_fen"
    " FROM member m LEFT JOIN balance b ON b.member_id = m.id LEFT JOIN tally t ON t.member_id = m.id"
    " WHERE m.account_id = 1 AND m.openid = %s"
)
_ANSWER: Final = (
    "可提现 ¥{:.2f}\n冻结中 ¥{:.2f}\n提现中 ¥{:.2f}\n累计收益 ¥{:.2f}\n\n我的团队 {} 人，买过 {} 人\n{}\n\n"
    "回复「明细」看每一笔，回复「为什么」看怎么算的。"
)


def create_app() -> Flask:
    """One robot, one handler, one connection a thread."""
    told = json.loads(os.environ["BENCH_PEER"])
    config = Config(SESSION_STORAGE=False, TOKEN=told["token"], APP_ID=told["app_id"])
    if told["aes_key"]:
        config["ENCODING_AES_KEY"] = told["aes_key"]
    robot = WeRoBot(config=config)
    here = threading.local()

    @robot.text  # type: ignore[untyped-decorator] # published without types
    def _text(message: Any) -> str:
        if message.content != ASKED:
            return ""
        if not hasattr(here, "connection"):
            here.connection = pymysql.connect(**told["mysql"], charset="utf8mb4", autocommit=True)
        with here.connection.cursor() as cursor:
            cursor.execute(_READ, (message.source,))
            return answer(cursor.fetchall())

    app = Flask(__name__)
    app.add_url_rule("/wechat/bench", "werobot", make_view(robot), methods=["GET", "POST"])
    return app


def answer(rows: Any) -> str:
    """The figures in the words that our own server uses."""
    people = {row[2]: row[3] or 0 for row in rows}
    names = zip(("一级", "二级", "三级"), (1, 2, 3), strict=True)
    return _ANSWER.format(
        (rows[0][0] or 0) / 100, sum(row[6] or 0 for row in rows) / 100, (rows[0][1] or 0) / 100,
        sum(row[5] or 0 for row in rows) / 100, sum(people.values()), sum(row[4] or 0 for row in rows),
        "，".join(f"{name} {people.get(level, 0)}" for name, level in names),
    )  # fmt: skip
