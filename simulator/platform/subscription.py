"""Subscription notices: each accepted pop-up allows one message of its template.

https://developers.weixin.qq.com/doc/service/api/notify/notify/api_sendnewsubscribemsg
"""

import re
from typing import Any

from simulator.errors import ApiError
from simulator.platform.gate import OK, ApiCall, Endpoints

endpoints = Endpoints()

REPEAT_SECONDS = 600
_KEYWORD = re.compile(r"([^\n{}]*)\{\{(\w+)\.DATA\}\}")
_KIND = re.compile(r"([a-z_]+?)[0-9]*")
_RULES = {
    "thing": re.compile(r".{1,20}"),
    "number": re.compile(r"[0-9.+-]{1,32}"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(r"[^\w\s]{1,5}"),
    "character_string": re.compile(r"[ -~]{1,32}"),
    "amount": re.compile(r"[¥￥$€£]?[0-9]{1,10}(\.[0-9]{1,2})?元?"),
    "phone_number": re.compile(r"[0-9+() -]{1,17}"),
    "car_number": re.compile(r".{1,8}"),
    "name": re.compile("[\u3400-\u9fff·]{1,10}|[A-Za-z .'-]{1,20}"),
    "phrase": re.compile("[\u3400-\u9fff]{1,5}"),
    "time": re.compile(r"(\d{4}年\d{1,2}月\d{1,2}日 ?)?(\d{1,2}:\d{2}(:\d{2})?)?"),
    "date": re.compile(r"\d{4}年\d{1,2}月\d{1,2}日( ?\d{1,2}:\d{2}(:\d{2})?)?"),
}


@endpoints.add("POST", "/cgi-bin/message/subscribe/bizsend", per_day=100_000)
def send(call: ApiCall) -> dict[str, Any]:
    """Show a notice in the chat and use up one credit; the result is pushed as subscribe_msg_sent_event."""
    contact = call.contact(call.body.get("touser"))
    template = _template(call)
    values = _values(call.body.get("data"), template)
    template_id = template["template_id"]
    with call.world.lock:
        wanted = call.body.get("client_msg_id")
        key = f"sub {contact.openid} {wanted}" if wanted else None
        _, at = call.account.sent_messages.get(key or "", [0, 0.0])
        if key is not None and at and call.world.now() - at < REPEAT_SECONDS:
            return OK
        if contact.subscriptions.get(template_id, 0) <= 0:
            raise ApiError(43101)
        contact.subscriptions[template_id] -= 1
        msgid = call.world.next_msgid()
        if key is not None:
            call.account.sent_messages[key] = [msgid, call.world.now()]
    labels = {name: label.strip(" ：:") for label, name in _KEYWORD.findall(template["content"])}
    call.world.add_message(
        contact,
        "account",
        "subscription",
        template_id=template_id,
        title=template.get("title", ""),
        fields=[
            {"key": name, "label": labels.get(name, name), "value": value}
            for name, value in values.items()
        ],
        url=call.body.get("page"),
        miniprogram=call.body.get("miniprogram"),
    )
    call.people.finish_subscription(call.account, contact, template_id, msgid)
    return OK


@endpoints.add("GET", "/wxaapi/newtmpl/gettemplate")
def get_all(call: ApiCall) -> dict[str, Any]:
    """The subscription templates that the account has taken into use."""
    found = [
        {
            "priTmplId": each["template_id"],
            "title": each.get("title", ""),
            "content": each.get("content", ""),
            "example": "",
            "type": 2,
        }
        for each in call.account.subscription_templates
    ]
    return OK | {"data": found}


def _template(call: ApiCall) -> dict[str, str]:
    """The template, or 40037. Unlike template messages, an account without any has none."""
    for template in call.account.subscription_templates:
        if template["template_id"] == call.body.get("template_id"):
            return template
    raise ApiError(40037)


def _values(data: object, template: dict[str, str]) -> dict[str, str]:
    """The value of every keyword; 47003 when one is missing or not what its kind takes, over-length too."""
    if not isinstance(data, dict):
        raise ApiError(47003, "data")
    return {name: _value(data, name) for _, name in _KEYWORD.findall(template["content"])}


def _value(data: dict[str, Any], name: str) -> str:
    given = data.get(name)
    value = given.get("value") if isinstance(given, dict) else None
    kind = _KIND.fullmatch(name)
    rule = _RULES.get(kind[1]) if kind else None
    if not isinstance(value, str) or not value.strip():
        raise ApiError(47003, f"data.{name}.value is empty")
    if rule is not None and rule.fullmatch(value) is None:
        raise ApiError(47003, f"data.{name}.value invalid")
    return value
