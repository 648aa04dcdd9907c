"""What the platform really shows of a template message's field.

Since 2023-05 WeChat cuts each field to 20 characters without telling anyone (a run of Latin letters
and digits counts as one), forbids line breaks and drops emoji. We cut first, visibly, so that
nobody wonders where the rest went.

https://developers.weixin.qq.com/doc/service/guide/product/template_message/Template_Message_Operation_Specifications.html
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

FIELD_CHARACTERS = 20
EMPTY_FIELD = "-"  # WeChat answers 47003 to an empty value

# A keycap ("1️⃣") keeps its digit; everything else that is drawn as a picture goes, together with
# the joiners, skin tones and selectors that build it.
_KEYCAP = re.compile("([0-9#*])\ufe0f?\u20e3")
_EMOJI = re.compile(
    ".\ufe0f"
    "|[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd"
    "\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755"
    "\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\ufe0e\ufe0f\u200d\u20e3"
    "\U0001f000-\U0001faff\U000e0000-\U000e007f]"
)
_UNIT = re.compile(r"[A-Za-z0-9]+|.", re.S)


def clip_field(text: str, limit: int = FIELD_CHARACTERS) -> str:
    """`text` as one line without emoji, at most `limit` characters as WeChat counts them; `…` marks
    a cut.
    """
    line = _EMOJI.sub("", _KEYCAP.sub(r"\1", text))
    line = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in line)
    line = " ".join(line.split())
    units = _UNIT.findall(line)
    if len(units) <= limit:
        return line or EMPTY_FIELD
    return "".join(units[: limit - 1]).rstrip() + "…"


def template_data(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`{"thing1": "…"}` in the form that template messages take, each field clipped."""
    return {name: {"value": clip_field(text)} for name, text in fields.items()}
