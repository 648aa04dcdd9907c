"""Pictures that WeChat keeps for us."""

from __future__ import annotations

import json
from typing import Final

from wechat.client import PlatformClient
from wechat.errors import Retryable, TokenRejected, refusal

PATH: Final = "/cgi-bin/media/get"


def get_media(client: PlatformClient, media_id: str) -> bytes:
    """The bytes of a temporary picture or voice. Refused for 40007 (WeChat does not keep it any more).

    One retry with a new token when the token was refused.
    https://developers.weixin.qq.com/doc/service/api/material/temporary/api_getmedia
    """
    token = client.tokens.current()
    try:
        return _fetched(client, media_id, token.value)
    except TokenRejected:
        pass
    return _fetched(client, media_id, client.tokens.renew(token).value)


def _fetched(client: PlatformClient, media_id: str, token: str) -> bytes:
    client.quota.check(PATH)
    content = client.download(f"{client.api_base}{PATH}", access_token=token, media_id=media_id)
    if not content.startswith(b"{"):
        return content
    try:
        answer = json.loads(content)
        errcode = int(answer["errcode"])
    except (ValueError, TypeError, KeyError):
        raise Retryable("the answer is neither a file nor an error", path=PATH) from None
    raise refusal(errcode, str(answer.get("errmsg", "")).replace(token, "***"), PATH)
