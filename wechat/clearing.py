"""Getting a day's calls back before midnight: WeChat clears the count of one API, 50 times a month.

https://developers.weixin.qq.com/doc/service/api/apimanage/api_clearapiquota
"""

from __future__ import annotations

from wechat.client import PlatformClient

PER_MONTH = 50


def clear_path(client: PlatformClient, api_path: str) -> None:
    """Let WeChat forget today's calls of `api_path` ("/cgi-bin/…"), and our own count with it.

    Refused for 48006 (used up this month), 76021 (no such path), 76022 (not counted), 76003 (no leading slash).
    """
    client.post("/cgi-bin/openapi/quota/clear", data={"cgi_path": api_path})
    client.quota.forget(api_path)
