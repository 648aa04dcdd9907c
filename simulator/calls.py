"""The journal of API calls, without the secrets that were in them."""

import json
import re
from dataclasses import dataclass
from typing import Any

_SECRET_FIELDS = (
    "access_token", "refresh_token", "secret", "appsecret", "token", "aes_key", "api_v3_key", "key",
)  # fmt: skip
_IN_QUERY = re.compile(rf"\b({'|'.join(_SECRET_FIELDS)})=([^&\s]+)")
_IN_JSON = re.compile(rf'"({"|".join(_SECRET_FIELDS)})"(\s*:\s*)"[^"]*"')
_TICKET_PATH = "/cgi-bin/ticket/getticket"
_JSAPI_TICKET = re.compile(r'("ticket": ?")[^"]*(")')
SHOWN_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came and as it was answered; secrets are masked when somebody looks."""

    id: int
    at: float
    account: str | None
    method: str
    path: str
    query: str
    body: bytes
    client_ip: str
    status: int
    answer: bytes
    ms: float
    rid: str

    def as_json(self) -> dict[str, Any]:
        """The call record of the control API."""
        return {
            "id": self.id,
            "at": self.at,
            "account": self.account,
            "method": self.method,
            "path": self.path,
            "query": mask(self.query),
            "body": _shown(self.body),
            "client_ip": self.client_ip,
            "status": self.status,
            "answer": _JSAPI_TICKET.sub(r"\1***\2", _shown(self.answer))
            if self.path == _TICKET_PATH
            else _shown(self.answer),
            "errcode": _errcode(self.answer),
            "ms": round(self.ms, 1),
            "rid": self.rid,
        }


def mask(text: str) -> str:
    """The text with every secret replaced by stars."""
    return _IN_JSON.sub(r'"\1"\2"***"', _IN_QUERY.sub(r"\1=***", text))


def _shown(content: bytes) -> str:
    try:
        return mask(content[:SHOWN_BYTES].decode())
    except UnicodeDecodeError:  # a picture, or text cut in the middle of a character
        return f"({len(content)} bytes)"


def _errcode(answer: bytes) -> int | None:
    try:
        parsed = json.loads(answer)
    except ValueError:
        return None
    return parsed.get("errcode", 0) if isinstance(parsed, dict) else None
