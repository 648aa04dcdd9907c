"""Why the domain refused, in words for staff. The domain says it with a code and facts."""

from __future__ import annotations

from typing import Final

from domain.errors import DomainError
from web.console.both import Both

_BY_MESSAGE: Final[dict[str, Both]] = {
    "a reason is needed": Both("请写明原因。", "Please give a reason."),
    "no such login": Both("没有这个登录名。", "There is no such login."),
    "this login is in use": Both("这个登录名已被使用。", "This login is in use."),
    "a login has 1 to 190 characters": Both("登录名为 1 到 190 个字。", "A login has 1 to 190 characters."),
    "a password has 10 to 256 characters": Both("密码为 10 到 256 位。", "A password has 10 to 256 characters."),
}  # fmt: skip
_BY_CODE: Final[dict[str, Both]] = {
    "conflict": Both("别人刚刚改过它，请刷新后再看。", "Somebody has just changed it. Reload and look again."),
    "busy": Both("系统有点忙，什么都没有改变，请稍后再试。", "We are busy. Nothing was changed; please try again."),
    "wrong_setup_code": Both("安装码不对。", "This is not the setup code."),
    "not_found": Both("没有找到。", "Not found."),
}  # fmt: skip


def explain(key: str, words: Both) -> None:
    """Words for a refusal with this message or code; page modules add those of their own verbs."""
    _BY_MESSAGE[key] = words


def said(error: DomainError) -> str:
    """The refusal in the language of the page."""
    words = _BY_MESSAGE.get(error.message) or _BY_MESSAGE.get(error.code)
    if words is None:
        words = _BY_CODE.get(error.code)
    if words is not None:
        return str(words)
    return str(Both(f"没有完成：{error.message}。", f"Not done: {error.message}."))
