"""Customer-service messages besides those of `wechat.api`: voices and videos.

https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
"""

from __future__ import annotations

from wechat.client import PlatformClient

_PATH = "/cgi-bin/message/custom/send"


def send_custom_voice(client: PlatformClient, openid: str, media_id: str) -> None:
    """Send an uploaded voice inside the reply window; errors as `wechat.api.send_custom_image`.

    https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
    """
    client.post(_PATH, data={"touser": openid, "msgtype": "voice", "voice": {"media_id": media_id}})


def send_custom_video(
    client: PlatformClient, openid: str, media_id: str, title: str = "", description: str = ""
) -> None:
    """Send an uploaded video inside the reply window; errors as `wechat.api.send_custom_image`.

    https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage
    """
    video = {"media_id": media_id, "title": title, "description": description}
    client.post(_PATH, data={"touser": openid, "msgtype": "video", "video": video})
