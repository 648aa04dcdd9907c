"""Template messages.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
"""

import re
from typing import Any

from simulator.errors import ApiError
from simulator.platform.gate import ApiCall, Endpoints
from simulator.state import Contact

endpoints = Endpoints()

VALUE_LENGTH = 20
REPEAT_SECONDS = 600
_DROPPED = ("first", "remark")  # not shown since 2023-05-04
_KEYWORD = re.compile(r"([^\n{}]*)\{\{(\w+)\.DATA\}\}")
_UNIT = re.compile(r"[A-Za-z0-9]+|.")  # a run of Latin letters and digits counts as one character
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d]")


@endpoints.add("POST", "/cgi-bin/message/template/send", per_day=100_000)
def send(call: ApiCall) -> dict[str, Any]:
    """Show a card in the chat; what became of it is pushed afterwards as TEMPLATESENDJOBFINISH."""
    contact = call.contact(call.body.get("touser"))
    template = _template(call)
    values = _values(call.body.get("data"), template)
    if not contact.subscribed:
        raise ApiError(call.world.faults.unfollowed_errcode)
    with call.world.lock:
        repeated = _sent_before(call, contact)
        msgid = repeated or call.world.next_msgid()
        _remember(call, contact, msgid)
    if not repeated:
        _show(call, contact, template, values)
        call.people.finish_template(call.account, contact, msgid)
    return {"errcode": 0, "errmsg": "ok", "msgid": msgid}


@endpoints.add("GET", "/cgi-bin/template/get_all_private_template", per_day=100_000)
def get_all(call: ApiCall) -> dict[str, Any]:
    """The templates that the account has taken into use."""
    empty = {"primary_industry": "", "deputy_industry": "", "content": "", "example": ""}
    return {"template_list": [empty | each for each in call.account.templates]}


def _template(call: ApiCall) -> dict[str, str]:
    wanted = call.body.get("template_id")
    for template in call.account.templates:
        if template["template_id"] == wanted:
            return template
    if call.account.templates or not isinstance(wanted, str) or not wanted:
        raise ApiError(40037)
    return {"template_id": wanted, "title": wanted, "content": ""}


def _values(data: object, template: dict[str, str]) -> dict[str, str]:
    """The value of every keyword; 47003 when one is missing, empty or not text."""
    if not isinstance(data, dict):
        raise ApiError(47003, "data")
    names = [name for _, name in _KEYWORD.findall(template.get("content", ""))] or list(data)
    return {name: _value(data, name) for name in names if name not in _DROPPED}


def _value(data: dict[str, Any], name: str) -> str:
    given = data.get(name)
    value = given.get("value") if isinstance(given, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ApiError(47003, f"data.{name}.value is empty or invalid")
    return shortened(value)


def shortened(value: str) -> str:
    """What a phone shows of a value: no line breaks, no emoji, 20 characters; the rest is cut without a word."""
    plain = _EMOJI.sub("", value).replace("\r", "").replace("\n", "")
    return "".join(_UNIT.findall(plain)[:VALUE_LENGTH])


def _key(call: ApiCall, contact: Contact) -> str | None:
    wanted = call.body.get("client_msg_id")
    return f"{contact.openid} {wanted}" if wanted else None


def _sent_before(call: ApiCall, contact: Contact) -> int | None:
    """The message id that the same client_msg_id got within ten minutes."""
    msgid, at = call.account.sent_messages.get(_key(call, contact) or "", (0, 0.0))
    return int(msgid) if msgid and call.world.now() - at < REPEAT_SECONDS else None


def _remember(call: ApiCall, contact: Contact, msgid: int) -> None:
    key, sent, now = _key(call, contact), call.account.sent_messages, call.world.now()
    while sent and now - next(iter(sent.values()))[1] >= REPEAT_SECONDS:
        del sent[next(iter(sent))]
    if key is not None:
        sent.setdefault(key, [msgid, now])


def _show(
    call: ApiCall, contact: Contact, template: dict[str, str], values: dict[str, str]
) -> None:
    labels = {
        name: label.strip(" ：:") for label, name in _KEYWORD.findall(template.get("content", ""))
    }
    fields = [
        {"key": name, "label": labels.get(name, name), "value": value}
        for name, value in values.items()
    ]
    call.world.add_message(
        contact,
        "account",
        "template",
        template_id=template["template_id"],
        title=template.get("title", ""),
        fields=fields,
        url=call.body.get("url"),
        miniprogram=call.body.get("miniprogram"),
    )
