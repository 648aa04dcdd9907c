"""What can go wrong when we talk to WeChat, sorted by what the caller should do next.

    WeChatError
    ├── Retryable              nothing was done, or nothing that matters: try again later
    │   ├── OutcomeUnknown     perhaps done: repeat with the same client_msg_id, or ask first
    │   └── TokenRejected      the token was refused, and one refresh did not help
    ├── QuotaExceeded          not before `retry_at`
    ├── AccountMisconfigured   no message is at fault: a person must repair the account
    └── Refused                the same call will be refused for ever
        └── RecipientRefused   … because of this recipient

No text of these errors holds a secret or a token: addresses are reduced to their path before they
get here, and `redacted` is applied to whatever WeChat wrote.

Official list of codes:
https://developers.weixin.qq.com/doc/oplatform/developers/errCode/errCode.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

BUSY_CODES = frozenset({-1, 268487001, 268487002})
TOKEN_CODES = frozenset({40001, 40014, 42001})
DAY_QUOTA_CODE = 45009
MINUTE_QUOTA_CODE = 45011
QUOTA_CODES = frozenset({DAY_QUOTA_CODE, MINUTE_QUOTA_CODE})

# The account, not the message: AppID, AppSecret, address white list, verification, a ban.
ACCOUNT_CODES = frozenset(
    {
        40013,  # AppID
        40125,  # AppSecret
        40164,  # our address is not on the white list
        40243,  # AppSecret frozen
        41002,  # AppID missing
        41004,  # AppSecret missing
        45109,  # the API was withdrawn from this account
        48001,  # the account is not authorised for this API
        48004,  # the API is banned for breaking the rules
        50002,  # the account is limited
        89503,  # an administrator must confirm our address
        89506,  # our address was refused by the administrator twice: 24 h
        89507,  # our address was refused by the administrator: 1 h
    }
)
# At the token endpoint itself a "token" code speaks of the AppSecret.
TOKEN_ENDPOINT_CODES = ACCOUNT_CODES | {40001, 40002, 50004, 50007}

RECIPIENT_CODES = frozenset(
    {
        40003,  # not an openid of this account
        43004,  # does not follow
        43101,  # refused, or has no subscription left
        45015,  # outside the reply window
        45047,  # too many replies for one interaction
        70000,  # protected minor
    }
)
# Other well-known refusals (40037 template id, 40249 marketing content, 43116 template restricted,
# 47003 field invalid) need no list: every code not named above is a refusal.

_RID = re.compile(r"\brid:?\s*([0-9a-fA-F]{4,}(?:-[0-9a-fA-F]{4,})+)")
_SECRET_VALUE = re.compile(
    r"""\b((?:access_token|refresh_token|secret|appsecret|code)["']?\s*[=:]\s*["']?)[^&\s"',}]+""",
    re.I,
)


def redacted(text: str) -> str:
    """`text` with the value of every token or secret parameter replaced by `***`."""
    return _SECRET_VALUE.sub(r"\1***", text)


class WeChatError(Exception):
    """Root of everything this package raises about WeChat.

    `permanent` says that the same call will never succeed. `errcode` is WeChat's number (None when
    there was no intelligible answer), `path` the API path without parameters, `rid` the request id
    that WeChat's support asks for.
    """

    permanent = False
    answer: Mapping[str, Any] = {}
    """What WeChat said besides the code: 45065 names the message that was sent before."""

    def __init__(
        self, message: str = "", *, errcode: int | None = None, path: str = "", rid: str = ""
    ) -> None:
        super().__init__(message)
        self.errcode = errcode
        self.path = path
        self.rid = rid

    def __str__(self) -> str:
        parts = [
            self.path,
            "" if self.errcode is None else str(self.errcode),
            str(self.args[0]) if self.args else "",
        ]
        return " ".join(part for part in parts if part)


class Retryable(WeChatError):
    """Nothing was done; the same call may succeed in a moment."""


class OutcomeUnknown(Retryable):
    """The request left us and no intelligible answer came back: WeChat may or may not have acted on
    it.
    """


class TokenRejected(Retryable):
    """WeChat refused the token, also after the one refresh a call is given."""


class QuotaExceeded(WeChatError):
    """WeChat, or our own meter in front of it, will not take this call before `retry_at` (aware,
    UTC).
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_at: datetime | None = None,
        errcode: int | None = None,
        path: str = "",
        rid: str = "",
    ) -> None:
        super().__init__(message, errcode=errcode, path=path, rid=rid)
        self.retry_at = retry_at


class AccountMisconfigured(WeChatError):
    """The account's AppID, AppSecret, white list or permissions stop every call of this kind.

    Not `permanent`: no message is at fault, so none should be given up; they wait until a person
    has repaired it.
    """


class Refused(WeChatError):
    """WeChat understood the call and will refuse it every time."""

    permanent = True


class RecipientRefused(Refused):
    """Refused because of the recipient: not following, not willing, or outside the reply window."""


def rid_in(errmsg: str) -> str:
    """The request id inside an `errmsg`, or an empty string."""
    found = _RID.search(errmsg)
    return found.group(1) if found else ""


def refusal(
    errcode: int, errmsg: str, path: str, *, retry_at: datetime | None = None
) -> WeChatError:
    """The error for an answer whose `errcode` is not 0.

    `retry_at` is used by the two quota codes only.
    """
    message, rid = redacted(errmsg), rid_in(errmsg)
    if errcode in QUOTA_CODES:
        return QuotaExceeded(message, retry_at=retry_at, errcode=errcode, path=path, rid=rid)
    kind: type[WeChatError] = Refused
    if errcode in BUSY_CODES:
        kind = Retryable
    elif errcode in TOKEN_CODES:
        kind = TokenRejected
    elif errcode in ACCOUNT_CODES:
        kind = AccountMisconfigured
    elif errcode in RECIPIENT_CODES:
        kind = RecipientRefused
    return kind(message, errcode=errcode, path=path, rid=rid)
