"""The callback: GET proves to WeChat that the address is ours, POST brings the pushes.

In this order: size, no DOCTYPE → signature in constant time, ±300 s → decrypt → WeRoBot parses and dispatches →
reply, or `success`. What fails behind the checks is spooled and answered, so no push is lost.

https://developers.weixin.qq.com/doc/service/guide/dev/push/
"""

from __future__ import annotations

import atexit
import logging
import time
from datetime import datetime
from multiprocessing.util import Finalize
from typing import Any, Final

from flask import Blueprint, Response, current_app, g, request
from prometheus_client import Histogram
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import RequestEntityTooLarge

import spooled
from bot import push as pushes
from bot.known import Known, KnownAccounts
from bot.push import Malformed, Push, TooEarly
from bot.robot import SUCCESS, WrongEnvelope, read_xml, reply_to, robot
from bot.touches import Journal
from bot.visit import DONE, Answer, Visit
from context import Context
from domain import accounts
from domain.errors import Busy
from wechat.signing import is_fresh, is_signed

MAX_BODY_BYTES: Final = 64 * 1024
BUDGET_SECONDS: Final = 3.5
"""Of the five that WeChat waits."""
SECONDS: Final = Histogram(
    "banyan_callback_seconds", "Pushes by what became of them, and how long WeChat waited.", ["outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
ANSWERED: Final = SECONDS.labels("answered")
SPOOLED: Final = SECONDS.labels("spooled")
REFUSED: Final = SECONDS.labels("refused")

_log = logging.getLogger(__name__)
blueprint = Blueprint("wechat", __name__)


class Refused(Exception):
    """The request gets this status and a short word; a stranger learns no more."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


class Door:
    """What the callback keeps for the life of a process."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.accounts = KnownAccounts(context.callback_database, context.keyring)
        self.journal = Journal(context.settings.data.dir)
        # Whichever way this process ends: granian's workers are multiprocessing's, which know no `atexit`.
        atexit.register(self.journal.flush)
        Finalize(None, self.journal.flush, exitpriority=1)


@blueprint.record_once
def _open_door(state: Any) -> None:
    state.app.extensions["banyan.callback"] = Door(state.app.extensions["banyan"])


def _door() -> Door:
    door: Door = current_app.extensions["banyan.callback"]
    return door


@blueprint.errorhandler(Refused)
def _refuse(error: Refused) -> Response:
    if "came_at" in g:  # a push, not the question whether this address is ours
        REFUSED.observe(time.monotonic() - g.came_at)
    return _plain(error.word, error.status)


@blueprint.get("/wechat/<slug>")
def verify(slug: str) -> Response:
    """WeChat asks whether this address is ours: the echo is text, never a page, because no signature covers it."""
    deadline = time.monotonic() + BUDGET_SECONDS
    door = _door()
    known, now = _find(door, slug), door.context.clock.now()
    _check_signature(known, now)
    if "echostr" not in request.args:
        raise Refused(400, "no echostr")
    _note_verified(door, known, now, deadline)
    return _plain(request.args["echostr"])


def _note_verified(door: Door, known: Known, now: datetime, deadline: float) -> None:
    """For the console's light. Pushes never come here; a database that is away does not keep WeChat from its echo."""
    try:
        door.context.callback_database.transact(
            lambda session: accounts.note_verified(session, known.account.id, now),
            deadline=deadline,
        )
    except (DBAPIError, Busy):
        _log.warning("account %s was verified; it could not be noted", known.account.slug)


@blueprint.post("/wechat/<slug>")
def receive(slug: str) -> Response:
    """A message or an event of a follower."""
    g.came_at = came_at = time.monotonic()
    door = _door()
    known = _find(door, slug)
    body = _body()
    now = door.context.clock.now()
    _check_signature(known, now)
    try:
        fields, sealed = _open(known, body)
        push = pushes.read(fields)
        message = robot.message_of(push)
    except Malformed as error:
        raise Refused(400, "malformed") from error
    visit = Visit(
        push, known.account, known.languages, known.keywords,
        door.context.callback_database, door.journal, now, door.context.keyring, came_at + BUDGET_SECONDS,
    )  # fmt: skip
    try:
        reply = robot.answer(message, visit)
        outcome = ANSWERED
    except Exception as error:  # whatever failed, the push itself must not be lost
        if isinstance(error, TooEarly):  # no fault of anybody's: the next replay finds its row
            _log.info("a push of account %s came before its row: %s", slug, error)
        else:
            _log.exception("a push of account %s is spooled", slug)
        _keep(door, slug, now, push)
        reply = str(reply_to(push, _sorry(push, known)).render()).strip()
        outcome = SPOOLED
    outcome.observe(time.monotonic() - came_at)
    if reply == SUCCESS:
        return _plain(SUCCESS)
    return Response(known.envelope.seal(reply) if sealed else reply, mimetype="application/xml")


def _keep(door: Door, slug: str, now: datetime, push: Push) -> None:
    try:
        spooled.keep(door.context.settings.data.dir, slug, now, push.raw)
    except OSError as error:
        raise Refused(
            503, "try again"
        ) from error  # WeChat is our last hope: it will repeat the push


def _find(door: Door, slug: str) -> Known:
    try:
        known = door.accounts.find(slug)
    except DBAPIError as error:
        raise Refused(503, "try again") from error
    if known is None:
        raise Refused(404, "no such account")
    return known


def _body() -> str:
    """The raw body whatever its content type says: a form would be parsed away by Flask. UTF-8 and nothing else: the
    parser would take UTF-16, in which the check for a DOCTYPE sees none."""
    request.max_content_length = MAX_BODY_BYTES
    try:
        return _without_doctype(request.get_data(cache=False).decode("utf-8-sig"))
    except RequestEntityTooLarge as error:
        raise Refused(413, "too large") from error
    except UnicodeDecodeError as error:
        raise Refused(400, "malformed") from error


def _without_doctype(xml: str) -> str:
    if "<!DOCTYPE" in xml:
        raise Refused(400, "malformed")
    return xml


def _check_signature(known: Known, now: datetime) -> None:
    query = request.args
    timestamp = query.get("timestamp", "")
    signed = is_signed(
        query.get("signature", ""), known.account.token, timestamp, query.get("nonce", "")
    )
    if not signed or not is_fresh(timestamp, now):
        raise Refused(403, "not signed")


def _open(known: Known, body: str) -> tuple[dict[str, Any], bool]:
    """The fields of the push, and whether its reply is to be encrypted.

    Where there is an encrypted copy it counts, never the clear one beside it. Safe mode takes nothing else.
    """
    fields = read_xml(body)
    query = request.args
    encrypted = fields.get("Encrypt")
    if encrypted is None:
        if known.account.mode == "safe":
            raise Refused(403, "not encrypted")
        return fields, False
    if not isinstance(encrypted, str):
        raise Malformed("Encrypt is not a text")
    if known.account.mode == "safe" and query.get("encrypt_type") != "aes":
        raise Refused(403, "not encrypted")
    signed = is_signed(
        query.get("msg_signature", ""),
        known.account.token,
        query.get("timestamp", ""),
        query.get("nonce", ""),
        encrypted,
    )
    if not signed:
        raise Refused(403, "not signed")
    try:
        clear = known.envelope.open(encrypted)
    except WrongEnvelope as error:
        raise Refused(403, "not for this account") from error
    return read_xml(_without_doctype(clear)), True


def _sorry(push: Push, known: Known) -> Answer:
    """Who said or tapped something hears that it did not work; events expect no words."""
    spoken = not push.is_event or push.event == "click"
    return known.words("busy") if spoken else DONE


def _plain(text: str, status: int = 200) -> Response:
    response = Response(text, status, mimetype="text/plain")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
