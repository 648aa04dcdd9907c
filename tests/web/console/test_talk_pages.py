"""Replies, the welcome message, the test box, files and texts: what a merchant writes is what the chat says."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import codes, replies, texts, uploads
from domain.accounts import OpenAccount
from domain.bodies import Article, MediaBody, NewsBody, TextBody
from domain.models import Audit, Reply, ReplyMedia, TextOverride
from domain.replies import Rule
from domain.spoken import SPOKEN
from tests.web.console.browser import Browser, Console
from web.console.reply_trial import HELP
from web.console.wordings import group_of

REPLIES = "/console/tea/replies"
PNG = b"\x89PNG\r\n\x1a\n1"
FORM = {
    "kind": "keyword", "matching": "contains", "keyword": " 运费 ", "priority": "5", "enabled": "1", "was": "",
    "all-0-kind": "text", "all-0-text": "{nickname}，满 99 包邮。",
    "all-1-kind": "news", "all-1-a0-title": "运费说明", "all-1-a0-url": "https://shop.example/fee",
    "en-0-kind": "text", "en-0-text": "Free from ¥99.",
}  # fmt: skip
SAID = (
    TextBody("{nickname}，满 99 包邮。"),
    NewsBody((Article("运费说明", "", "https://shop.example/fee", ""),)),
)


def rows(console: Console) -> list[Reply]:
    query = select(Reply).order_by(Reply.id)
    return console.merchant.database.read(lambda session: list(session.scalars(query)))


def audits(console: Console, action: str) -> list[Audit]:
    query = select(Audit).where(Audit.action == action).order_by(Audit.id)
    return console.merchant.database.read(lambda session: list(session.scalars(query)))


def put(console: Console, account: OpenAccount, keyword: str, said: str, **more: Any) -> int:
    return console.merchant.database.transact(
        lambda session: replies.put(session, account.id, keyword, said, **more).id
    )


# --- writing replies ------------------------------------------------------------------------------------------------


def test_reply_is_written_with_several_messages_and_languages(
    console: Console, owner: Browser
) -> None:
    answer = owner.post(f"{REPLIES}/new", **FORM)
    [row] = rows(console)
    assert answer.location.endswith(f"/replies/{row.id}")
    rule = Rule.of(row)
    assert (rule.keyword, rule.matching, rule.priority, rule.enabled) == (
        "运费",
        "contains",
        5,
        True,
    )
    assert rule.messages == SAID
    assert dict(rule.variants) == {"en": (TextBody("Free from ¥99."),)}
    [note] = audits(console, "reply_added")
    assert note.actor == f"staff:{owner.login}"
    html = owner.get(f"{REPLIES}/{row.id}").text
    assert "小明，满 99 包邮。" in html, "the phone fills the placeholders"
    assert "Free from ¥99." in html
    assert "运费" in owner.get(REPLIES).text


BOTH_ENGINES = pytest.mark.parametrize("engine_name", ["sqlite", "mariadb"], indirect=True)


@BOTH_ENGINES
def test_list_is_searched_filtered_and_sorted(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    put(console, account, "茶", "绿茶很好", priority=1)
    put(console, account, "水", "矿泉水", priority=9, matching="contains")
    put(console, account, "promo", "优惠", kind="click", enabled=False)
    assert "promo" not in owner.get(REPLIES, q="矿泉").text
    only = owner.get(REPLIES, state="off").text
    assert "promo" in only
    assert "绿茶" not in only
    first = owner.get(REPLIES, sort="priority", format="csv").text.splitlines()[1]
    assert first.startswith("水")


WRONG: Final[tuple[tuple[dict[str, str], str], ...]] = (
    ({"keyword": ""}, "关键字为 1 到 60 个字"),
    ({"matching": "regex", "keyword": "("}, "不是正确的正则"),
    ({"all-0-text": ""}, "第 1 条：文字为 1 到 600 个字"),
    ({"all-0-text": "{order}"}, "第 1 条：不认识 {order}"),
    ({"all-0-text": "{nickname"}, "大括号要成对"),
    ({"all-1-a0-url": "javascript:alert(1)"}, "第 2 条：网址要以 https://"),
    ({"all-1-kind": "image"}, "第 2 条：请选择或上传一个文件"),
    ({"all-1-a1-title": "二", "all-1-a1-url": "https://a.example"}, "第 2 条：这里一条消息只能有一张卡片"),
    ({"priority": "很高"}, "优先级是 -1000 到 1000"),
    ({"en-0-text": "{x}"}, "不认识 {x}"),
)  # fmt: skip


def test_what_cannot_be_said_is_told_and_nothing_is_kept(console: Console, owner: Browser) -> None:
    for wrong, words in WRONG:
        seen = owner.post(f"{REPLIES}/look", **(FORM | wrong)).text
        assert words in seen, "beside the form, while it is written"
        kept = owner.post(f"{REPLIES}/new", **(FORM | wrong)).text
        assert words in kept
        assert 'value="运费说明"' in kept, "what was written is still there"
        assert rows(console) == [], words


def test_file_is_uploaded_with_its_message_and_used_again(console: Console, owner: Browser) -> None:
    picture = {"all-1-kind": "image", "all-1-file": (io.BytesIO(PNG), "茶.png")}
    owner.post(f"{REPLIES}/new", **(FORM | picture))
    [row] = rows(console)
    shown = Rule.of(row).messages[1]
    assert isinstance(shown, MediaBody)
    assert owner.get(f"/console/tea/media/{shown.media}").data == PNG
    html = owner.get(f"{REPLIES}/{row.id}").text
    assert f'value="{shown.media}" selected' in html
    assert f'src="/console/tea/media/{shown.media}"' in html
    owner.post(f"/console/tea/media/{shown.media}/remove")
    assert "还有自动回复在用这个文件" in owner.said()
    owner.post(f"{REPLIES}/{row.id}/remove")
    owner.post(f"/console/tea/media/{shown.media}/remove")
    assert "已删除" in owner.said()
    assert console.merchant.database.read(lambda s: s.scalars(select(ReplyMedia.id)).all()) == []


def test_file_that_is_not_what_it_says_takes_the_reply_along(
    console: Console, owner: Browser
) -> None:
    wrong = {"all-1-kind": "image", "all-1-file": (io.BytesIO(b"MZ"), "a.png")}
    assert "第 2 条：文件内容和后缀不一致" in owner.post(f"{REPLIES}/new", **(FORM | wrong)).text
    assert rows(console) == []
    kept = console.merchant.database.read(lambda s: s.scalars(select(ReplyMedia.id)).all())
    assert kept == []


def test_chosen_file_is_named_in_the_preview_before_it_is_here(owner: Browser) -> None:
    seen = owner.post(
        f"{REPLIES}/look", **(FORM | {"all-1-kind": "image", "chosen": "all-1-file:茶.png"})
    )
    assert "茶.png" in seen.text
    assert "请选择或上传" not in seen.text


def test_preview_fills_nothing_but_plain_names(owner: Browser) -> None:
    for text in ("{nickname.__class__}", "{nickname:>99999999}", "{nickname!r}", "{0}"):
        seen = owner.post(f"{REPLIES}/look", **(FORM | {"all-0-text": text})).text
        assert f"<bdi>{text}</bdi>".replace(">9", "&gt;9") in seen
        assert 'class="problems"' in seen


@BOTH_ENGINES
def test_reply_is_changed_switched_off_and_removed(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    number = put(console, account, "茶", "旧的")
    page = owner.get(f"{REPLIES}/{number}").text
    was = page.partition('name="was" value="')[2].partition('"')[0]
    owner.post(f"{REPLIES}/{number}/save", **(FORM | {"was": was}))
    assert "已保存" in owner.said()
    assert Rule.of(rows(console)[0]).messages == SAID
    late = owner.post(f"{REPLIES}/{number}/save", **(FORM | {"was": was, "keyword": "晚了"}))
    assert "别人刚刚改过它" in late.text
    assert rows(console)[0].keyword == "运费"
    owner.post(f"{REPLIES}/{number}/switch", to="off")
    assert not rows(console)[0].enabled
    owner.post(f"{REPLIES}/{number}/remove")
    assert rows(console) == []
    assert len(audits(console, "reply_changed")) == 2
    [gone] = audits(console, "reply_removed")
    assert "运费" in (gone.before or "")


def test_second_reply_to_the_same_words_is_refused(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    put(console, account, "运费", "旧的", matching="contains")
    assert "已经有一条同样触发的回复" in owner.post(f"{REPLIES}/new", **FORM).text
    assert rows(console)[0].body == "旧的"


def test_support_reads_and_cannot_write(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    number = put(console, account, "茶", "好茶")
    support = console.as_role(account, "support")
    assert "好茶" in support.get(f"{REPLIES}/{number}").text
    assert support.post(f"{REPLIES}/{number}/save", **FORM).status_code == 403
    assert support.post("/console/tea/texts/save").status_code == 403


# --- the welcome message --------------------------------------------------------------------------------------------


def test_welcome_is_written_shown_to_three_people_and_taken_back(
    console: Console, owner: Browser
) -> None:
    before = owner.get("/console/tea/welcome").text
    assert "在用默认的" in before
    assert "小红 邀请了您" in before, "who comes by a friend's code"
    assert "欢迎回来" in before
    form = {
        "all-0-kind": "text",
        "all-0-text": "您好，{nickname}！",
        "enabled": "1",
        "priority": "0",
        "was": "",
    }
    seen = owner.post("/console/tea/welcome/look", **form).text
    assert seen.count("您好，小明！") == 3
    assert "小红 邀请了您" in seen, "whose code it was stands before it"
    owner.post("/console/tea/welcome/save", **form)
    [row] = rows(console)
    assert (row.kind, row.body) == ("subscribe", "您好，{nickname}！")
    assert owner.get(f"{REPLIES}/{row.id}").location.endswith("/welcome")
    owner.post("/console/tea/welcome/remove")
    assert rows(console) == []
    assert "在用默认的" in owner.get("/console/tea/welcome").text


def test_welcome_page_names_codes_with_an_answer_of_their_own(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    made = console.merchant.database.transact(
        lambda s: codes.add(s, account.id, name="门店海报", reply="到店有礼", now=console.now)
    )
    html = owner.get("/console/tea/welcome").text
    assert "门店海报" in html
    assert "到店有礼" in html
    assert f"/console/tea/codes/{made.scene.id}" in html


# --- trying ---------------------------------------------------------------------------------------------------------


def tried(owner: Browser, **asked: str) -> str:
    return owner.get(f"{REPLIES}/try", **asked).text


def test_box_says_which_reply_answers_and_why_not_the_others(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    put(console, account, "春茶", "春茶上市", matching="contains", priority=2)
    put(console, account, "茶", "都有", matching="contains")
    put(console, account, "^春", "停用的", matching="regex", enabled=False)
    put(console, account, "", "没有对上", kind="default")
    html = tried(owner, text="春茶多少钱")
    assert "对上了关键字「春茶」（包含，优先级 2）" in html
    assert "「茶」（包含，优先级 0）也对得上：优先级比 2 低" in html
    assert "「^春」（正则表达式，优先级 0）也对得上：停用着" in html
    assert '<div class="phone-bubble"><bdi>春茶上市</bdi></div>' in html
    assert "聊天命令「提现」回答，后面带着「 50」" in tried(owner, text="提现 50")
    assert "“都没有对上时”的回复回答" in tried(owner, text="别的")
    assert "按钮没有自己的回复" in tried(owner, how="tap", text="春茶")
    assert "没有对上" in tried(owner, how="send")


def test_box_speaks_the_followers_language(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    put(console, account, "hi", "你好", variants={"en": [TextBody("Hello")]})
    assert "<bdi>Hello</bdi>" in tried(owner, text="HI", lang="en")
    assert "<bdi>你好</bdi>" in tried(owner, text="HI", lang="zh-TW")
    assert texts.Words(lang="en")("fallback").splitlines()[0] in tried(owner, text="??!", lang="en")


def test_box_follows_by_a_code_and_writes_nothing(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    made = console.merchant.database.transact(
        lambda s: codes.add(s, account.id, name="门店", reply="到店有礼", now=console.now)
    )
    before = console.merchant.database.read(lambda s: s.scalars(select(Audit.id)).all())
    assert "到店有礼" in tried(owner, how="follow", came=made.scene.code)
    picture = console.merchant.database.transact(
        lambda s: (
            uploads.add(
                s,
                account.id,
                kind="image",
                name="a.png",
                content=PNG,
                actor="小王",
                now=console.now,
            ).id
        )
    )
    shown = console.merchant.database.transact(
        lambda s: codes.add(s, account.id, name="橱窗", media=picture, now=console.now)
    )
    assert f"/console/tea/media/{picture}" in tried(owner, how="follow", came=shown.scene.code)
    assert "小红 邀请了您" in tried(owner, how="follow", came="friend")
    assert "没有写欢迎语：说默认的" in tried(owner, how="follow")
    for path in (f"{REPLIES}/try/look", f"{REPLIES}/try"):
        assert "没有对上的回复" in owner.post(path, how="say", text="x").text
    assert console.merchant.database.read(lambda s: s.scalars(select(Audit.id)).all()) == before


def test_every_command_has_its_line_in_the_box() -> None:
    assert set(HELP) == {one.name for one in SPOKEN}
    assert {f"help.{one}" for one in HELP.values()} <= set(texts.TEXTS)


def test_pages_are_in_english_too(console: Console, owner: Browser, account: OpenAccount) -> None:
    number = put(console, account, "hi", "Hello")
    owner.client.set_cookie("banyan_language", "en")
    owner.post("/console/tea/media/add", file=(io.BytesIO(PNG), "a.png"))
    for path, words in {
        "replies": "New reply", f"replies/{number}": "Message 1", "replies/try?text=hi": "It fits “hi”",
        "welcome": "By a friend&#39;s code", "media": "There are 1 of 200.", "texts": "Following and codes",
        "texts/edit?key=follow.bound": "Your words",
    }.items():  # fmt: skip
        assert words in owner.get(f"/console/tea/{path}").text, path


# --- files ----------------------------------------------------------------------------------------------------------


def test_library_keeps_a_file_and_refuses_what_wechat_does_not_take(
    console: Console, owner: Browser
) -> None:
    owner.post("/console/tea/media/add", file=(io.BytesIO(PNG), "茶.png"))
    assert "已保存" in owner.said()
    html = owner.get("/console/tea/media").text
    assert "茶.png" in html
    assert "微信还没有" in html
    owner.post("/console/tea/media/add", file=(io.BytesIO(b"<svg/>"), "a.svg"))
    assert "微信不支持这种文件" in owner.said()
    assert len(audits(console, "media_added")) == 1


def test_file_is_made_permanent_with_the_places_told(console: Console, owner: Browser) -> None:
    owner.post("/console/tea/media/add", file=(io.BytesIO(PNG), "茶.png"))
    assert "图片一共 100,000 个" in owner.get("/console/tea/media").text
    media = console.merchant.database.read(lambda s: s.scalars(select(ReplyMedia.id)).one())
    owner.post(f"/console/tea/media/{media}/permanent", to="on")
    assert "已改为永久素材" in owner.said()
    assert "永久素材，用到时上传" in owner.get("/console/tea/media").text
    console.merchant.database.transact(
        lambda s: uploads.keep_id(s, media, "M1", uploads.FOREVER, permanent=True)
    )
    owner.post(f"/console/tea/media/{media}/permanent", to="off")
    assert "连不上微信" in owner.said(), "WeChat is told first"
    owner.post(f"/console/tea/media/{media}/remove")
    assert "连不上微信" in owner.said()
    kept = console.merchant.database.read(lambda s: s.scalars(select(ReplyMedia)).one())
    assert (kept.permanent, kept.media_id) == (True, "M1")


# --- texts ----------------------------------------------------------------------------------------------------------


def kept(console: Console) -> dict[tuple[str, str], str]:
    found = console.merchant.database.read(lambda s: s.scalars(select(TextOverride)).all())
    return {(one.lang, one.text_key): one.body for one in found}


EDIT = {"key": "follow.bound", "lang": "zh-CN", "was": ""}


def test_text_is_changed_in_one_language_and_set_back(console: Console, owner: Browser) -> None:
    body = "{referrer} 带您来到{account}。"
    owner.post("/console/tea/texts/save", **EDIT, body=body)
    assert kept(console) == {("zh-CN", "follow.bound"): body}
    html = owner.get("/console/tea/texts/edit", key="follow.bound", lang="zh-CN").text
    assert "小红 带您来到tea。" in html, "the phone fills the placeholders"
    assert "改过的 1" in " ".join(owner.get("/console/tea/texts", lang="zh-CN").text.split())
    assert "改过的 0" in " ".join(owner.get("/console/tea/texts", lang="en").text.split())
    owner.post("/console/tea/texts/reset", **(EDIT | {"was": body}))
    assert kept(console) == {}
    first, second = audits(console, "text_changed")
    assert (first.subject, second.after) == ("text/zh-CN/follow.bound", None)


def test_text_with_unknown_or_missing_placeholders_is_refused(
    console: Console, owner: Browser
) -> None:
    path = "/console/tea/texts/save"
    assert "不认识 {friend}" in owner.post(path, **EDIT, body="{friend} {referrer}").text
    assert "少了 {account}" in owner.post(path, **EDIT, body="是 {referrer} 邀请了您").text
    assert "大括号要成对" in owner.post(path, **EDIT, body="{referrer.__class__}").text
    assert "文字为 1 到 2000 个字" in owner.post(path, **EDIT, body="  ").text
    assert kept(console) == {}
    owner.post(path, **EDIT, body="是 {referrer} 邀请了您", without="1")
    assert len(kept(console)) == 1


def test_text_that_an_upgrade_made_impossible_is_marked(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    def put_old(session: Session) -> None:
        session.add(
            TextOverride(
                account_id=account.id, lang="zh-CN", text_key="follow.again", body="{gone}"
            )
        )

    console.merchant.database.transact(put_old)
    assert "不能用了" in owner.get("/console/tea/texts").text
    assert "不能用了" in owner.get("/console/tea/texts/edit", key="follow.again").text


def test_two_who_edit_a_text_do_not_overwrite_each_other(console: Console, owner: Browser) -> None:
    owner.post("/console/tea/texts/save", **EDIT, body="{referrer}{account}一")
    late = owner.post("/console/tea/texts/save", **EDIT, body="{referrer}{account}二")
    assert "别人刚刚改过它" in late.text
    assert list(kept(console).values()) == ["{referrer}{account}一"]


def test_texts_for_staff_are_not_offered(console: Console, owner: Browser) -> None:
    assert owner.get("/console/tea/texts/edit", key="wechat.40003").status_code == 302
    owner.post("/console/tea/texts/save", key="wechat.40003", lang="zh-CN", was="", body="x")
    assert kept(console) == {}
    assert "wechat.40003" not in owner.get("/console/tea/texts", q="公众号").text


def test_every_text_of_the_merchant_is_in_a_group() -> None:
    left = {key.partition(".")[0] for key in texts.TEXTS if not group_of(key)}
    assert left == {"wechat", "menu", "warning"}, "those are for staff"
