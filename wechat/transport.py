"""HTTP with the manners WeChat needs: pooled, never without a time-out, never to a host nobody
configured, and never with a token in an error or a log line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError

from wechat.errors import (
    AccountMisconfigured,
    OutcomeUnknown,
    Refused,
    Retryable,
    WeChatError,
    redacted,
)

Timeout = tuple[float, float]

TIMEOUT: Timeout = (3.0, 8.0)
POOL_SIZE = 100


_BARRED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)


class ForeignHostError(WeChatError):
    """A request was about to leave for a host that is not configured. It did not leave."""

    permanent = True


class _RedactingFilter(logging.Filter):
    """urllib3 writes whole addresses, the token included, at DEBUG and in one WARNING."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


_REDACTING = _RedactingFilter()


class GuardedAdapter(HTTPAdapter):
    """Sends to the configured origins only, and always with a time-out."""

    def __init__(self, origins: Iterable[str], timeout: Timeout, pool_size: int) -> None:
        self._origins = frozenset(_origin(url) for url in origins)
        self._timeout = timeout
        # Retries are decided above, where it is known what may be repeated.
        super().__init__(pool_connections=8, pool_maxsize=pool_size, max_retries=0)

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        if _origin(request.url or "") not in self._origins:
            raise ForeignHostError("refused to leave the configured hosts", path=_path(request))
        if not kwargs.get("timeout"):
            kwargs["timeout"] = self._timeout
        return super().send(request, *args, **kwargs)


class GuardedSession(requests.Session):
    """A requests session that raises only our errors, and that any number of threads may share.

    Sharing is safe because nothing in it changes after construction: the pool below locks for
    itself, cookies are refused, redirects are not followed (one would carry the token elsewhere)
    and the environment is not consulted.
    """

    def __init__(
        self, origins: Iterable[str], timeout: Timeout = TIMEOUT, pool_size: int = POOL_SIZE
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = GuardedAdapter(origins, timeout, pool_size)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        # Always the same filter, so adding it again changes nothing.
        logging.getLogger("urllib3.connectionpool").addFilter(_REDACTING)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        kwargs["allow_redirects"] = False
        kwargs["stream"] = False  # read the body in here, where its failures are translated
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            failure = _transport_failure(error, request)
        else:
            if response.status_code == HTTPStatus.OK:
                return response
            failure = _status_failure(response, request)
        # Outside the except block: requests' own error holds the whole address, and must not hang
        # on as __context__.
        raise failure


def decoded(response: requests.Response) -> dict[str, Any]:
    """The JSON object in an answer; anything else (HTML, a list, a cut-off text) is `Retryable`."""
    try:
        # strict=False: WeChat lets raw control characters through in texts that users typed.
        answer = json.loads(response.content.decode("utf-8"), strict=False)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _unclear(response.request, "the answer is not a JSON object")
    return answer


def _transport_failure(
    error: requests.RequestException, request: requests.PreparedRequest
) -> WeChatError:
    path, reason = _path(request), type(error).__name__
    cause = error.args[0] if error.args else None
    # MaxRetryError wraps failures to connect; what happens once the request is out arrives bare
    # (ProtocolError, ReadTimeoutError), except that a read time-out is named by requests itself.
    unsent = isinstance(error, requests.ConnectTimeout) or (
        isinstance(error, requests.ConnectionError) and isinstance(cause, MaxRetryError)
    )
    if unsent:
        return Retryable(f"could not connect ({reason})", path=path)
    if isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    ):
        return _unclear(request, f"no complete answer ({reason})")
    return _unclear(request, f"HTTP failed ({reason})")


def _status_failure(response: requests.Response, request: requests.PreparedRequest) -> WeChatError:
    status = response.status_code
    if status in _BARRED:
        # WeChat itself answers 200: a proxy or a firewall on the way keeps us out, whatever is sent.
        return AccountMisconfigured(f"HTTP {status}", path=_path(request))
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    ):
        return Refused(f"HTTP {status}", path=_path(request))
    return _unclear(request, f"HTTP {status}")


def _unclear(request: requests.PreparedRequest, reason: str) -> WeChatError:
    """After a request that changes nothing there is nothing to wonder about; after any other there
    is.
    """
    kind = Retryable if request.method == "GET" else OutcomeUnknown
    return kind(reason, path=_path(request))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _path(request: requests.PreparedRequest) -> str:
    return urlsplit(request.url or "").path
