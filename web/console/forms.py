"""Forms of the console: WTForms with labels and messages in the language of the page.

Fields are made by `text`, `password` and `choice`, which take their title in both languages; `given(form.name)` is what
was written. CSRF is asked of every POST anyway (web/pages.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask_wtf import FlaskForm
from wtforms import Field, PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined] # newer than its types
from wtforms.i18n import get_translations
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from web.console.both import Both
from web.pages import language


class Form(FlaskForm):
    """The base of every form."""

    class Meta(FlaskForm.Meta):
        def get_translations(self, form: Any) -> Any:
            return get_translations(["zh"]) if language() == "zh" else None


def text(chinese: str, english: str, *, most: int = 190, **html: Any) -> StringField:
    """A line of text that must be given; `html` are attributes of the input."""
    return StringField(
        _title(chinese, english), [_presence(True), Length(max=most)], render_kw=html
    )


def password(
    chinese: str, english: str, *, new: tuple[int, int] | None = None, required: bool = True, **html: Any
) -> PasswordField:  # fmt: skip
    """A password that is known, or with `new` (least and most characters) one that is chosen."""
    length = Length(max=256) if new is None else Length(*new)
    html.setdefault("autocomplete", "current-password" if new is None else "new-password")
    return PasswordField(_title(chinese, english), [_presence(required), length], render_kw=html)


def again(chinese: str, english: str, first: str = "password") -> PasswordField:
    """The same password once more: what the field named `first` holds."""

    def same(form: Any, field: Field) -> None:
        if field.data != form[first].data:
            raise ValidationError(str(Both("两次输入不一样。", "The passwords differ.")))

    return PasswordField(
        _title(chinese, english),
        [InputRequired(), same],
        render_kw={"autocomplete": "new-password"},
    )


def choice(
    chinese: str, english: str, options: Mapping[str, object], default: str | None = None
) -> SelectField:
    """One of some values, each with its title."""
    return SelectField(
        _title(chinese, english), choices=[SelectChoice(value, cast(str, title)) for value, title in options.items()],
        default=default,
    )  # fmt: skip


def given(field: Field) -> str:
    """What was written into a field; "" for nothing."""
    return str(field.data or "")


def _title(chinese: str, english: str) -> str:
    """WTForms wants a str and only ever shows it: `Both` is one when the page is made."""
    return cast(str, Both(chinese, english))


def _presence(required: bool) -> Callable[..., None]:
    return InputRequired() if required else Optional()
