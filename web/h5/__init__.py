"""The pages in WeChat: /m/<slug>/…, phone first, for followers; a door like the others. `blueprint` is all of it."""

from web.h5 import (
    bridge,
    earnings,
    home,
    links,
    login,
    personal,
    promote,
    team,
    withdrawing,
)
from web.h5.arriving import blueprint

__all__ = [
    "blueprint",
    "bridge",
    "earnings",
    "home",
    "links",
    "login",
    "personal",
    "promote",
    "team",
    "withdrawing",
]
