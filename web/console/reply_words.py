"""What can be wrong with an automatic reply or a text, in words for staff."""

from __future__ import annotations

from domain import bodies, replies, texts, uploads
from domain.errors import DomainError
from domain.patterns import LENGTH as PATTERN_LENGTH
from web.console.both import Both
from web.console.refusals import explain, said
from web.pages import t

for _refusal, _words in {
    f"an answer has 1 to {bodies.MOST} messages": Both(
        "请至少写一条消息。", "Write at least one message."
    ),
    f"a text has 1 to {bodies.TEXT_LENGTH} characters": Both(
        f"文字为 1 到 {bodies.TEXT_LENGTH} 个字。",
        f"A text has 1 to {bodies.TEXT_LENGTH} characters.",
    ),
    f"a text has 1 to {bodies.TITLE_LENGTH} characters": Both(
        f"标题为 1 到 {bodies.TITLE_LENGTH} 个字。",
        f"A title has 1 to {bodies.TITLE_LENGTH} characters.",
    ),
    f"a text has 1 to {bodies.DESCRIPTION_LENGTH} characters": Both(
        f"说明最多 {bodies.DESCRIPTION_LENGTH} 个字。",
        f"A description has {bodies.DESCRIPTION_LENGTH} characters at most.",
    ),
    "an address begins with https:// or http://": Both(
        "网址要以 https:// 或 http:// 开头。", "An address begins with https:// or http://."
    ),
    "a picture, voice or video names an uploaded file": Both(
        "请选择或上传一个文件。", "Choose or upload a file."
    ),
    "no such file": Both(
        "没有这个文件，或者类型不对。", "There is no such file, or it is of another kind."
    ),
    "here a message has 1 to 1 cards": Both(
        "这里一条消息只能有一张卡片。", "Here a message has one card."
    ),
    f"here a message has 1 to {bodies.ARTICLES_TO_EVENTS} cards": Both(
        f"一条消息有 1 到 {bodies.ARTICLES_TO_EVENTS} 张卡片。",
        f"A message has 1 to {bodies.ARTICLES_TO_EVENTS} cards.",
    ),
    f"a keyword has 1 to {replies.KEYWORD_LENGTH} characters": Both(
        f"关键字为 1 到 {replies.KEYWORD_LENGTH} 个字。",
        f"A keyword has 1 to {replies.KEYWORD_LENGTH} characters.",
    ),
    f"a menu key has 1 to {replies.KEY_BYTES} bytes": Both(
        f"按钮的关键字为 1 到 {replies.KEY_BYTES} 字节。",
        f"A key has 1 to {replies.KEY_BYTES} bytes.",
    ),
    f"a pattern has 1 to {PATTERN_LENGTH} characters": Both(
        f"正则表达式为 1 到 {PATTERN_LENGTH} 个字符。",
        f"A pattern has 1 to {PATTERN_LENGTH} characters.",
    ),
    "not a regular expression": Both("这不是正确的正则表达式。", "This is no regular expression."),
    "this pattern repeats too often": Both(
        "花括号里的重复次数太大（相乘不能超过 1000）。",
        "It repeats too often: the numbers in braces multiply to 1000 at most.",
    ),
    "a priority is -1000 to 1000": Both(
        "优先级是 -1000 到 1000 的整数。", "A priority is a whole number, -1000 to 1000."
    ),
    f"an account has at most {replies.LIMIT} replies": Both(
        f"一个公众号最多 {replies.LIMIT} 条自动回复。",
        f"An account has {replies.LIMIT} replies at most.",
    ),
    f"an account has at most {replies.REGEX_LIMIT} patterns": Both(
        f"一个公众号最多 {replies.REGEX_LIMIT} 条正则。",
        f"An account has {replies.REGEX_LIMIT} patterns at most.",
    ),
    f"an account has at most {uploads.MOST_FILES} files": Both(
        f"一个公众号最多 {uploads.MOST_FILES} 个文件，请先删掉不用的。",
        f"An account has {uploads.MOST_FILES} files at most: delete some first.",
    ),
    "another reply has this keyword": Both(
        "已经有一条同样触发的回复，请改那一条。", "Another reply is for the same: change that one."
    ),
    "no such kind of file": Both(
        "微信不支持这种文件：图片用 JPG、PNG、GIF，语音用 MP3、AMR，视频用 MP4。",
        "WeChat does not take this file: JPG, PNG, GIF; MP3, AMR; MP4.",
    ),
    "the file is not what its name says": Both(
        "文件内容和后缀不一致。", "The file is not what its name says."
    ),
    f"this file has 1 to {uploads.MOST_BYTES['image']} bytes": Both(
        "图片和语音最大 2 MB。", "A picture or voice has 2 MB at most."
    ),
    f"this file has 1 to {uploads.MOST_BYTES['video']} bytes": Both(
        "视频最大 5 MB。", "A video has 5 MB at most."
    ),
    "a reply shows this file": Both(
        "还有自动回复在用这个文件，请先换掉。", "A reply shows this file: change it first."
    ),
    "a code answers with this file": Both(
        "还有渠道码用这张图片回复，请先换掉。",
        "A code answers with this picture: change that first.",
    ),
    f"a wording has 1 to {texts.MAX_LENGTH} characters": Both(
        f"文字为 1 到 {texts.MAX_LENGTH} 个字。", f"A text has 1 to {texts.MAX_LENGTH} characters."
    ),
    "somebody changed it meanwhile": Both(
        "别人刚刚改过它：下面是您写的，请打开新的再改。",
        "Somebody changed it meanwhile: open it again and edit that.",
    ),
    "no such reply": Both("没有这条自动回复。", "There is no such reply."),
}.items():
    explain(_refusal, _words)


def why(error: DomainError) -> str:
    """The refusal in words, with the message that it is about and the placeholders that nobody knows."""
    details = error.details
    if "unknown" in details:
        names = "、".join(f"{{{name}}}" for name in details["unknown"])
        known = "、".join(f"{{{name}}}" for name in details["known"]) or t("没有", "none")
        words = t(
            f"不认识 {names}，这里可以用：{known}。",
            f"{names} is unknown; here there are: {known}.",
        )
    elif error.message.startswith(("the braces do not match", "a placeholder is a name")):
        words = t(
            "大括号要成对，里面只能是一个名字，例如 {nickname}。",
            "Braces hold one name, such as {nickname}.",
        )
    elif "reason" in details and error.message == "not a regular expression":
        words = f"{said(error)} {details['reason']}"
    else:
        words = said(error)
    number = details.get("number")
    return words if number is None else t(f"第 {number} 条：{words}", f"Message {number}: {words}")
