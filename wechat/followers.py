"""The list of an account's followers, and what the merchant notes of one.

https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans
"""

from __future__ import annotations

from typing import Final

from wechat.client import PlatformClient
from wechat.tags import OpenidPage, page_of

REMARK_BYTES: Final = 29
"""WeChat's page says "fewer than 30 bytes"."""


def followers_page(client: PlatformClient, next_openid: str = "") -> OpenidPage:
    """Up to 10 000 followers after `next_openid`; 500 such calls a day. 40003, 40013.

    Two ways to end are known: an empty `next_openid`, or the last openid and then a page without `data`.
    https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans
    """
    path = "/cgi-bin/user/get"
    params = {"next_openid": next_openid} if next_openid else {}
    return page_of(client.get(path, params=params), path)


def set_remark(client: PlatformClient, openid: str, remark: str) -> None:
    """Note a name for a follower, which only the merchant sees; empty removes it. 40003, 40092, 43004.

    https://developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_updateremark
    """
    if len(remark.encode()) > REMARK_BYTES:
        raise ValueError(f"a remark has at most {REMARK_BYTES} bytes")
    client.post("/cgi-bin/user/info/updateremark", data={"openid": openid, "remark": remark})
