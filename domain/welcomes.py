"""欢迎语: what somebody reads who has just followed. The callback says it; the console shows it before it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from domain.accounts import OpenAccount
from domain.bodies import IMAGE, MediaBody
from domain.codes import Answering
from domain.money import yuan
from domain.replies import EXACT, SUBSCRIBE, Rule
from domain.texts import Words

CODE: Final = "code"
REPLY: Final = "reply"
OURS: Final = "ours"


@dataclass(frozen=True, slots=True)
class Welcome:
    """`source`: who says it: the code's own answer (`CODE`), the merchant's reply to a follow (`REPLY`), or the texts
    of domain/texts (`OURS`). A `picture` (WeChat's media id) is all; else `lead`, then `rule`, which may be one
    of a code's picture alone."""

    source: str
    lead: str = ""
    rule: Rule | None = None
    picture: str | None = None


def of_follow(
    words: Words, account: OpenAccount, rule: Rule | None, said: Answering,
    *, referrer: str | None, refused: str | None, is_back: bool,
) -> Welcome:  # fmt: skip
    """What is said. `rule`: the reply to a follow; `said`: what belongs to the code that was scanned; `referrer`: the
    name of the friend who is bound now, `refused`: why nobody is; `is_back`: they followed before."""
    own = of_code(said)
    if own is not None:
        return own
    bound = referrer is not None
    lead = "" if refused is None else words(f"refused.{refused}")
    if bound:
        lead = words("follow.bound", account=account.name, referrer=referrer)
    card = card_of(words, account, said)
    if rule is not None:
        return Welcome(REPLY, joined(lead, card), rule)
    greeting = "follow.again" if is_back else "follow.welcome"
    ours = "" if bound else words(greeting, account=account.name)
    return Welcome(OURS, joined(lead, ours, card))


def of_code(said: Answering) -> Welcome | None:
    """What a code says itself, to who follows and to who scans it again; None when it has no answer of its own."""
    if said.media is not None:
        picture = MediaBody(IMAGE, said.media)
        return Welcome(CODE, rule=Rule(0, SUBSCRIBE, EXACT, "", (picture,)))
    if said.media_id is None and said.reply is None:
        return None
    return Welcome(CODE, said.reply or "", picture=said.media_id)


def card_of(words: Words, account: OpenAccount, said: Answering) -> str:
    """The product that a code is about, in a text; "" for a code that is about none."""
    product, address = said.product, account.settings.product_url
    if product is None:
        return ""
    card = words("product.card", product=product.name, price=yuan(product.price_fen))
    return f"{card}\n{address.replace('{sku}', quote(product.sku, safe=''))}" if address else card


def joined(*texts: str) -> str:
    """The texts that say something, one after the other."""
    return "\n\n".join(text for text in texts if text)
