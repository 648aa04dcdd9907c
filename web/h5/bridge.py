"""What the JS-SDK of a page is set up with. Asked for by the page itself, which alone knows what its address bar shows.

https://developers.weixin.qq.com/doc/service/guide/h5/jssdk.html
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from flask import abort, current_app, jsonify, request

from web.current import context
from web.h5.arriving import Page, blueprint, here, limit
from web.h5.guards import members_only
from wechat import jssdk
from wechat.errors import WeChatError

CONFIGS_PER_MINUTE: Final = 30
LONGEST_URL: Final = 2000


@blueprint.get("/js-config")
@members_only
def js_config() -> Page:
    """wx.config for `?url=`, which must be one of this account's pages: nobody borrows our signature."""
    limit("config", CONFIGS_PER_MINUTE)
    url = request.args.get("url", "")
    public = urlsplit(context().settings.server.public_url)
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not match
        abort(400)
    ours = (parts.scheme, parts.netloc) == (public.scheme, public.netloc)
    if not ours or not parts.path.startswith(f"{here().root}/") or len(url) > LONGEST_URL:
        abort(400)
    client = context().platform(here().account)
    try:
        made = jssdk.config_for(
            here().account.app_id, client.tickets, url, int(here().now.timestamp())
        )
    except WeChatError as error:
        current_app.logger.warning("no ticket for a page: %s", error)
        abort(503)
    return jsonify(
        appId=made.app_id,
        timestamp=made.timestamp,
        nonceStr=made.nonce,
        signature=made.signature,
    )
