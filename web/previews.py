"""What an occasion would look like on a phone: the words of a sample, cut to what each channel takes; and a test.

For `flask template …` and the console. Nothing here writes. `send_test` calls WeChat: outside of transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from context import Context
from domain import cards, notices, texts
from domain.accounts import OpenAccount
from domain.errors import Invalid, NotFound
from domain.models import NoticeTemplate
from domain.texts import LANGUAGES, Words
from wechat import api
from wechat.client import PlatformClient
from wechat.formatting import UnfitError, clip_field, subscription_value
from wechat.subscriptions import list_subscription_templates, send_subscription


@dataclass(frozen=True, slots=True)
class Preview:
    """A sample message. Of a template: `template_id` and `fields` (keyword → what the phone shows) and `unfit`
    (keyword → why it takes no such value). Of the other channels: `text`."""

    occasion: str
    channel: str
    lang: str
    template_id: str | None
    fields: Mapping[str, str]
    unfit: Mapping[str, str]
    text: str


def preview(
    session: Session,
    account: OpenAccount,
    occasion: str,
    channel: str,
    lang: str = "",
    content: str = "",
) -> Preview:
    """What the account's followers would get, with sample values. `lang`: empty for the account's; `content`: the
    template's text as WeChat has it (`contents_of`), where no fields are chosen. Raises `Invalid`, and `NotFound` when
    the account has no template for this."""
    lang = lang or account.settings.language
    _check(occasion, channel, lang)
    words = texts.words_of(session, account.id)[lang]
    sample = cards.sample(occasion)
    text = "" if occasion == notices.RISK_ALERT else words.notice(occasion, sample)
    if channel not in notices.MAPPED:
        return Preview(occasion, channel, lang, None, {}, {}, text)
    template = _template(session, account, occasion, channel)
    shown, unfit = {}, {}
    for keyword, value in _filled(template, occasion, words, content).items():
        try:
            subscribed = channel == notices.SUBSCRIPTION
            shown[keyword] = subscription_value(keyword, value) if subscribed else clip_field(value)
        except UnfitError as error:
            unfit[keyword] = str(error)
    return Preview(occasion, channel, lang, template.template_id, shown, unfit, text)


def _check(occasion: str, channel: str, lang: str) -> None:
    if occasion not in notices.OCCASIONS:
        raise Invalid("no such occasion", occasion=occasion)
    if channel not in notices.CHANNELS:
        raise Invalid("no such channel", channel=channel, channels=list(notices.CHANNELS))
    if lang not in LANGUAGES:
        raise Invalid("no such language", lang=lang, languages=list(LANGUAGES))


def _template(
    session: Session, account: OpenAccount, occasion: str, channel: str
) -> NoticeTemplate:
    chosen = notices.templates_of(session, account.id, channel)
    template = chosen.get(occasion) or chosen.get(notices.MERGED.get(occasion, ""))
    if template is None:
        raise NotFound("no template for this occasion", occasion=occasion, channel=channel)
    return template


def _filled(template: NoticeTemplate, occasion: str, words: Words, content: str) -> dict[str, str]:
    return cards.filled(cards.sample(occasion), words, notices.fields_of(template), content)


def send_test(
    context: Context, account: OpenAccount, occasion: str, channel: str, openid: str, lang: str = ""
) -> None:
    """Send the sample to one person, now, by this very channel; raises what WeChat says, `Invalid` for the inbox, which
    is no message, and `NotFound` without a template. A customer-service message needs an open window, a subscription
    notice an allowance of that person's."""
    client = context.platform(account)
    lang = lang or account.settings.language
    _check(occasion, channel, lang)
    if channel == notices.INBOX:
        raise Invalid("the inbox is shown at the next visit, nothing is sent", channel=channel)
    if channel == notices.CUSTOM:
        shown = context.database.read(
            lambda session: preview(session, account, occasion, channel, lang)
        )
        if not shown.text:
            raise Invalid("this occasion is told by template only", occasion=occasion)
        api.send_custom_text(client, openid, shown.text)
        return
    contents = contents_of(client, channel)

    def read(session: Session) -> tuple[str, dict[str, str]]:
        template = _template(session, account, occasion, channel)
        words = texts.words_of(session, account.id)[lang]
        content = contents.get(template.template_id, "")
        return template.template_id, _filled(template, occasion, words, content)

    template_id, data = context.database.read(read)
    if channel == notices.TEMPLATE:
        api.send_template(client, openid, template_id, data)
        return
    try:
        send_subscription(client, openid, template_id, data)
    except UnfitError as error:
        raise Invalid(str(error), template=template_id) from error


def contents_of(client: PlatformClient, channel: str) -> dict[str, str]:
    """The account's templates as WeChat has them: id → text."""
    found = (
        api.list_templates(client)
        if channel == notices.TEMPLATE
        else list_subscription_templates(client)
    )
    return {each.template_id: each.content for each in found}
