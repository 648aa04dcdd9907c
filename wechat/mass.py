"""Mass messages (群发): to everybody, to a tag, to a list of openids; preview, result, deletion, speed.

Every function may raise what `wechat.api` names. The calls that send take a `clientmsgid`: a repeat inside 24 hours
sends nothing and answers with the first message's number.

https://developers.weixin.qq.com/doc/service/api/notify/message/api_sendall
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wechat.api import text_in
from wechat.client import PlatformClient
from wechat.errors import OutcomeUnknown, Refused

LIST_SIZE: Final = 10_000
SMALLEST_LIST: Final = 2
CLIENT_MSG_ID_BYTES: Final = 32

KNOWN_ALREADY: Final = 45065
"""This clientmsgid has been sent: the answer holds the number of that message."""
SENDING_NOW: Final = 45066
"""The same clientmsgid is being worked on: try again in a minute."""
PERIOD_QUOTA: Final = 45028
"""The account's mass messages of this period are used up."""
WAITS_FOR_ADMIN: Final = 89504
REFUSED_BY_ADMIN: Final = 89505

SUCCESS: Final = "SEND_SUCCESS"
SENDING: Final = "SENDING"

Branch = Mapping[str, Any]
"""msgtype and its content, as `text_branch` and its siblings make it."""


@dataclass(frozen=True, slots=True)
class MassSent:
    """A mass message that WeChat has taken; `repeated`: it had been taken before."""

    msg_id: str
    msg_data_id: str | None
    repeated: bool = False


def text_branch(content: str) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": content}}


def image_branch(media_id: str) -> dict[str, Any]:
    """A picture for a mass message; a preview wants `preview_image_branch`."""
    return {"msgtype": "image", "images": {"media_ids": [media_id]}}


def preview_image_branch(media_id: str) -> dict[str, Any]:
    return {"msgtype": "image", "image": {"media_id": media_id}}


def article_branch(media_id: str) -> dict[str, Any]:
    """The articles of a draft. Its media_id ends with a mass message that was sent."""
    return {"msgtype": "mpnews", "mpnews": {"media_id": media_id}, "send_ignore_reprint": 0}


def send_all(
    client: PlatformClient, branch: Branch, client_msg_id: str, *, tag_id: int | None = None
) -> MassSent:
    """To everybody who follows, or to the members of one tag. 89504 waits for an administrator, who may refuse
    (89505); 45028, 45066, 40152 (tag), 40007 (media).

    https://developers.weixin.qq.com/doc/service/api/notify/message/api_sendall
    """
    filters = {"is_to_all": True} if tag_id is None else {"is_to_all": False, "tag_id": tag_id}
    return _send(
        client, "/cgi-bin/message/mass/sendall", {"filter": filters, **branch}, client_msg_id
    )


def send_to(
    client: PlatformClient, openids: Sequence[str], branch: Branch, client_msg_id: str
) -> MassSent:
    """To 2 to 10,000 openids. 40032 (too many), 40130 (fewer than two), 45028, 45066, 40007 (media).

    https://developers.weixin.qq.com/doc/service/api/notify/message/api_masssend
    """
    if not SMALLEST_LIST <= len(openids) <= LIST_SIZE:
        raise ValueError(f"{SMALLEST_LIST} to {LIST_SIZE} openids in one call")
    body = {"touser": list(openids), **branch}
    return _send(client, "/cgi-bin/message/mass/send", body, client_msg_id)


def _send(client: PlatformClient, path: str, body: dict[str, Any], client_msg_id: str) -> MassSent:
    if not 0 < len(client_msg_id.encode()) <= CLIENT_MSG_ID_BYTES:
        raise ValueError(f"a clientmsgid has 1 to {CLIENT_MSG_ID_BYTES} bytes")
    try:
        answer: Mapping[str, Any] = client.post(path, data={**body, "clientmsgid": client_msg_id})
    except Refused as error:
        if error.errcode != KNOWN_ALREADY or not error.answer.get("msg_id"):
            raise
        return _sent(error.answer, path, repeated=True)
    return _sent(answer, path, repeated=False)


def _sent(answer: Mapping[str, Any], path: str, *, repeated: bool) -> MassSent:
    if not answer.get("msg_id"):
        raise OutcomeUnknown("the answer holds no msg_id", path=path)
    data_id = answer.get("msg_data_id")
    return MassSent(str(answer["msg_id"]), str(data_id) if data_id else None, repeated)


def preview(client: PlatformClient, openid: str, branch: Branch) -> None:
    """Show a mass message to one follower only; 100 a day, and not one of their four a month.

    https://developers.weixin.qq.com/doc/service/api/notify/message/api_preview
    """
    client.post("/cgi-bin/message/mass/preview", data={"touser": openid, **branch})


def mass_status(client: PlatformClient, msg_id: str) -> str:
    """SEND_SUCCESS, SENDING, SEND_FAIL or DELETE; no figures.

    https://developers.weixin.qq.com/doc/service/api/notify/message/api_massmsgget
    """
    path = "/cgi-bin/message/mass/get"
    answer = client.post(path, data={"msg_id": msg_id})
    return text_in(answer, "msg_status", path)
