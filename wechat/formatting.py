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


class UnfitError(ValueError):
    """A value that a keyword of a subscription notice does not take, and that cannot be made to fit."""


_SUBSCRIPTION_LIMITS: Mapping[str, int] = {
    "thing": 20,
    "number": 32,
    "letter": 32,
    "symbol": 5,
    "character_string": 32,
    "phone_number": 17,
    "car_number": 8,
    "phrase": 5,
}
_SUBSCRIPTION_FORMS: Mapping[str, re.Pattern[str]] = {
    "number": re.compile(r"[0-9.+-]+"),
    "letter": re.compile(r"[A-Za-z]+"),
    "symbol": re.compile(r"[^\w\s]+"),
    "character_string": re.compile(r"[!-~]+(?: [!-~]+)*"),
    "phone_number": re.compile(r"[0-9+() -]+"),
    "phrase": re.compile("[\u3400-\u9fff]+"),
    "amount": re.compile(r"[¥￥$€£]?[0-9]{1,10}(?:\.[0-9]{1,2})?元?"),
    "name": re.compile("[\u3400-\u9fff·]{1,10}|[A-Za-z .'-]{1,20}"),
}
_KIND = re.compile(r"([a-z_]+?)[0-9]*")
_CLIPPED = ("thing", "character_string", "phrase")


def subscription_value(keyword: str, text: str) -> str:
    """`text` as the keyword (`thing1`, `amount2`, …) of a subscription notice takes it, where over-length is an error
    and not cut: what can be cut is cut visibly. Raises UnfitError for the rest.

    https://developers.weixin.qq.com/doc/service/api/notify/notify/api_sendnewsubscribemsg
    """
    found = _KIND.fullmatch(keyword)
    kind = found[1] if found else ""
    line = clip_field(text, len(text) + 1)
    form, limit = _SUBSCRIPTION_FORMS.get(kind), _SUBSCRIPTION_LIMITS.get(kind)
    if limit is not None and len(line) > limit and kind in _CLIPPED:
        mark = "…" if kind == "thing" else ""
        line = line[: limit - len(mark)].rstrip() + mark
    if limit is not None and len(line) > limit:
        raise UnfitError(f"{keyword} takes {limit} characters")
    if form is not None and form.fullmatch(line) is None:
        raise UnfitError(f"{keyword} does not take this kind of text")
    return line


def subscription_data(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`{"thing1": "…"}` in the form that subscription notices take. Raises UnfitError."""
    return {name: {"value": subscription_value(name, text)} for name, text in fields.items()}
