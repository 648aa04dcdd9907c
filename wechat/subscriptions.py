"""Subscription notices (订阅通知): one message for each pop-up that a follower accepted.

https://developers.weixin.qq.com/doc/service/guide/product/subscribe_message/intro
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wechat.api import Template
from wechat.client import PlatformClient
from wechat.errors import Retryable
from wechat.formatting import subscription_data

SEND = "/cgi-bin/message/subscribe/bizsend"
LIST = "/wxaapi/newtmpl/gettemplate"


def send_subscription(
    client: PlatformClient,
    openid: str,
    template_id: str,
    data: Mapping[str, str],
    *,
    page: str | None = None,
    client_msg_id: str | None = None,
) -> None:
    """Send a subscription notice; WeChat answers with no id, and tells the result by subscribe_msg_sent_event.

    `data` maps keywords to text; what is too long is cut, and a value that its keyword cannot take raises UnfitError
    before anything is sent. Calls with the same openid and `client_msg_id` within ten minutes send one message.
    RecipientRefused for 40003, 43004 and 43101 (refused, or no credit left); Refused for 40037 and 47003.
    https://developers.weixin.qq.com/doc/service/api/notify/notify/api_sendnewsubscribemsg
    """
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": subscription_data(data),
    }
    if page:
        body["page"] = page
    if client_msg_id:
        body["client_msg_id"] = client_msg_id
    client.post(SEND, data=body)


def list_subscription_templates(client: PlatformClient) -> list[Template]:
    """The subscription templates that the account has taken into use.

    https://developers.weixin.qq.com/doc/service/api/notify/notify/api_getwxapubnewtemplate
    """
    found = client.get(LIST).get("data")
    if not isinstance(found, list):
        raise Retryable("the answer holds no data", path=LIST)
    return [
        Template(
            str(each.get("priTmplId", "")),
            str(each.get("title", "")),
            str(each.get("content", "")),
            str(each.get("example", "")),
        )
        for each in found
        if isinstance(each, dict)
    ]
