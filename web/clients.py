"""Where a request comes from."""

from __future__ import annotations

import ipaddress

from flask import request


def address() -> str:
    """The client's IP address. A reverse proxy on this machine is believed when it says whom it speaks for (the last
    entry of X-Forwarded-For, the one that it wrote itself); nobody else is."""
    here = request.remote_addr or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if forwarded and _is_loopback(here):
        return forwarded.rsplit(",", 1)[-1].strip()
    return here


def is_inside() -> bool:
    """Whether the client is on this machine or in a private network: who may read /metrics. Nobody who comes through a
    proxy on another machine: its address is private, and whom it speaks for is not believed."""
    if "X-Forwarded-For" in request.headers and not _is_loopback(request.remote_addr or ""):
        return False
    try:
        return ipaddress.ip_address(address()).is_private
    except ValueError:
        return False


def _is_loopback(text: str) -> bool:
    try:
        one = ipaddress.ip_address(text)
        return (getattr(one, "ipv4_mapped", None) or one).is_loopback
    except ValueError:
        return False
