"""海报模板: what members' posters look like, which of them brings more, and an editor that draws as one writes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from flask import Response as FlaskResponse
from flask import flash, redirect, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import code_stats, designs, drawing, poster_templates
from domain.code_stats import Figures
from domain.drawing import uploads
from domain.drawing.lettering import is_drawable
from domain.errors import DomainError, Invalid
from domain.models import CodeDay, PosterTemplate
from domain.staff.permissions import Permission
from web.console import charts, poster_form
from web.console.both import Both
from web.console.cells import visible
from web.console.charts import Series
from web.console.code_pages import SPANS, days_asked, span_of
from web.console.navigation import MESSAGES, Menu
from web.console.poster_form import Problems, Written
from web.console.refusals import explain, said
from web.console.visit import Answer, Visit, page
from web.pages import t

NAMELESS: Final = "会员·7K3QF9A"
"""How a member is called whose name cannot be drawn."""
PURPOSES: Final = {
    designs.INVITE: Both("推广海报（我的海报）", "Invitation (我的海报)"),
    designs.PRODUCT: Both("商品海报（商品海报 货号）", "Product (商品海报 sku)"),
}
FIGURES: Final = (
    ("posters", Both("海报", "Posters")),
    ("scans", Both("扫码", "Scans")),
    ("follows", Both("关注", "Follows")),
    ("joined", Both("新会员", "Joined")),
    ("orders", Both("订单", "Orders")),
    ("sales_fen", Both("销售额", "Sales")),
)

explain("this is not JSON", Both("这不是 JSON，请检查括号和逗号。", "This is not JSON."))
explain(
    f"a name has 1 to {poster_templates.NAME_LENGTH} characters",
    Both("名称为 1 到 60 个字。", "A name has 1 to 60 characters."),
)
explain(
    f"at most {poster_templates.MOST_ACTIVE} templates are active at once: retire one first",
    Both(
        "同时启用的模板最多 8 个，请先停用一个。", "At most 8 are active at once: retire one first."
    ),
)
explain(
    f"a weight is 1 to {poster_templates.WEIGHTS[-1]}",
    Both("权重是 1 到 100 的整数。", "A weight is a whole number, 1 to 100."),
)
explain(
    f"an account keeps at most {poster_templates.MOST_PICTURES} pictures",
    Both("背景图片最多保存 60 张。", "An account keeps at most 60 pictures."),
)
explain(
    f"a picture has 1 to {uploads.MOST_BYTES} bytes",
    Both("请选一张 8 MB 以内的图片。", "Choose a picture of at most 8 MB."),
)
explain(
    f"a picture has at most {uploads.MOST_PIXELS} pixels",
    Both("图片太大，最多 2500 万像素。", "A picture has at most 25 million pixels."),
)
explain(
    f"not a readable {', '.join(uploads.FORMATS)} picture",
    Both("读不出这张图片，请用 JPEG、PNG 或 WebP。", "Not a readable JPEG, PNG or WebP picture."),
)
explain(
    "this picture stays too large even when it is compressed",
    Both("图片压缩后仍然太大，请换一张。", "It stays too large when compressed: take another."),
)
explain("no such picture", Both("这张背景图片不在了，请换一张。", "This background is gone."))
explain(
    "the address is too long for a code of this size",
    Both("二维码太小，放不下微信的地址，请调大。", "The code is too small for WeChat's address."),
)
explain(
    "no such active template",
    Both("这个模板已经停用了。", "This template is not active any more."),
)
explain(
    "no such retired template",
    Both("这个模板正在使用。", "This template is active."),
)


# --- the list -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """A template with what its posters brought; `row` is None for our own design. `share_bps` of the members see it."""

    row: PosterTemplate | None
    purpose: str
    figures: Figures
    share_bps: int

    @property
    def rate_bps(self) -> int | None:
        """Follows of a hundred scans, in basis points."""
        return self.figures.follows * 10_000 // self.figures.scans if self.figures.scans else None


@page(
    "/posters",
    allow=Permission.CODES_READ,
    menu=Menu(MESSAGES, Both("海报模板", "Posters"), "easel2", 50),
)
def poster_list(visit: Visit) -> Answer:
    """Templates with their pictures and figures, those that members see first."""
    since, until = span_of(visit)

    def look(session: Session) -> tuple[list[PosterTemplate], dict[int, Figures]]:
        rows = poster_templates.all_of(session, visit.account.id)
        ids = [poster_templates.BUILT_IN, *(row.id for row in rows)]
        return rows, code_stats.sums(
            session, visit.account.id, code_stats.TEMPLATE, ids, since, until
        )

    rows, sums = visit.read(look)
    groups = [(purpose, title, _active(purpose, rows, sums)) for purpose, title in PURPOSES.items()]
    retired = [Variant(row, row.purpose, sums[row.id], 0) for row in rows if row.retired_at]
    return render_template(
        "console/poster_list.html", groups=groups, retired=retired, built_in=sums[poster_templates.BUILT_IN],
        spans=SPANS, days=days_asked(), figures=FIGURES, purposes=PURPOSES,
    )  # fmt: skip


def _active(purpose: str, rows: list[PosterTemplate], sums: Mapping[int, Figures]) -> list[Variant]:
    """What members see; our own design when the merchant has none."""
    found = [row for row in rows if row.purpose == purpose and row.retired_at is None]
    if not found:
        return [Variant(None, purpose, sums[poster_templates.BUILT_IN], 10_000)]
    return [
        Variant(row, purpose, sums[row.id], poster_templates.share_bps(row, found)) for row in found
    ]


# --- one template ---------------------------------------------------------------------------------------------------


@page("/posters/<int:template_id>", allow=Permission.CODES_READ)
def poster(visit: Visit, template_id: int) -> Answer:
    """A template, large, with what its posters brought day by day."""
    since, until = span_of(visit)

    def look(session: Session) -> tuple[PosterTemplate, list[CodeDay]]:
        row = poster_templates.get(session, visit.account.id, template_id)
        return row, code_stats.days_of(
            session, visit.account.id, code_stats.TEMPLATE, row.id, since, until
        )

    row, rows = visit.read(look)
    known = {one.day: one for one in rows}
    days = [since + timedelta(days=number) for number in range((until - since).days + 1)]
    lines = [
        Series(str(dict(FIGURES)[name]), [getattr(known.get(day), name, 0) for day in days])
        for name in ("posters", "scans")
    ]
    chart = charts.bars(
        t("海报与扫码", "Posters and scans"), days, lines, lambda n: f"{round(n):,}"
    )
    totals = {name: sum(getattr(one, name) for one in rows) for name, _ in FIGURES}
    return render_template(
        "console/poster.html", row=row, chart=chart, any=bool(rows), series=[one.title for one in lines], totals=totals,
        figures=FIGURES, spans=SPANS, days=days_asked(), purpose=PURPOSES[row.purpose],
        size=json.loads(row.design).get("size", [750, 1334]),
    )  # fmt: skip


@page("/posters/<int:template_id>/picture", allow=Permission.CODES_READ)
def poster_picture(visit: Visit, template_id: int) -> FlaskResponse:
    """The template with sample words. It never changes, so a browser keeps it for a day."""

    def find(session: Session) -> tuple[Any, bytes | None]:
        row = poster_templates.get(session, visit.account.id, template_id)
        design = json.loads(row.design)
        return design, _background(session, visit, design)

    design, background = visit.read(find)
    return _jpeg(_drawn(visit, design, background))


@page("/posters/usual", allow=Permission.CODES_READ)
def poster_usual(visit: Visit) -> FlaskResponse:
    """Our own design, which is shown while the merchant has none of this purpose."""
    purpose = request.args.get("purpose", "")
    return _jpeg(
        _drawn(visit, designs.BUILT_IN.get(purpose, designs.BUILT_IN[designs.INVITE]), None)
    )


@page("/posters/pictures/<int:picture_id>", allow=Permission.CODES_READ)
def poster_background(visit: Visit, picture_id: int) -> FlaskResponse:
    """An uploaded background."""
    return _jpeg(
        visit.read(
            lambda session: poster_templates.picture_of(session, visit.account.id, picture_id)
        )
    )


@page("/posters/<int:template_id>/design", allow=Permission.CODES_READ)
def poster_design(visit: Visit, template_id: int) -> FlaskResponse:
    """The template as JSON, as `flask poster template add` takes it."""
    row = visit.read(lambda session: poster_templates.get(session, visit.account.id, template_id))
    text = visible(json.dumps(json.loads(row.design), ensure_ascii=False, indent=2))
    text = text.replace("<", "\\u003c")  # the same JSON, whatever opens it
    name = f"{visit.account.slug}-poster-{row.id}.json"
    return FlaskResponse(
        text, mimetype="application/json", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )  # fmt: skip


def _background(session: Session, visit: Visit, design: Any) -> bytes | None:
    picture = designs.parse(design).picture
    return (
        None if picture is None else poster_templates.picture_of(session, visit.account.id, picture)
    )


def _drawn(visit: Visit, design: Any, background: bytes | None, name: str = "小明") -> bytes:
    words = {"name": name if is_drawable(name) else NAMELESS, "account": visit.account.name}
    return drawing.render_preview(design, words, background=background)


def _jpeg(content: bytes) -> FlaskResponse:
    return FlaskResponse(
        content, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=86400"}
    )


# --- the editor -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draft:
    """The poster that a form describes: drawn, or what is wrong with it."""

    jpeg: bytes | None
    problems: Problems
    refused: str = ""

    @property
    def address(self) -> str:
        """The picture itself: a draft is kept nowhere."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg or b'').decode()}"


def _draft(visit: Visit, written: Written, name: str) -> Draft:
    try:
        background = visit.read(lambda session: _background(session, visit, written.design))
        return Draft(_drawn(visit, written.design, background, name), Problems())
    except Invalid as error:
        problems = poster_form.problems_of(error, written)
        return Draft(None, problems, "" if problems else said(error))
    except DomainError as error:
        return Draft(None, Problems(), said(error))


def _sample(form: Mapping[str, str]) -> str:
    """The nickname to try it with."""
    return (form.get("own_sample", "").strip() or form.get("sample", "") or "小明")[
        : poster_form.SAMPLE_LENGTH
    ]


@page("/posters/look", allow=Permission.CODES_CHANGE, methods=("POST",))
def poster_look(visit: Visit) -> Answer:
    """The form as it is written just now, drawn; nothing is kept."""
    draft = _draft(visit, poster_form.read(request.form), _sample(request.form))
    return render_template("console/poster_look.html", draft=draft)


@page("/posters/new", allow=Permission.CODES_CHANGE, methods=("GET", "POST"))
def poster_new(visit: Visit) -> Answer:
    """The editor: a new template, with `?base=` from one that is there."""
    if request.method == "GET":
        return _editor(visit, _begun(visit))
    given = request.form.to_dict()
    do = given.get("do", "look")
    try:
        if do == "json":
            design = poster_form.from_json(given.get("json", ""))
            given = _without_design(given) | poster_form.fields_of(design)
            designs.parse(design)
        elif do == "upload":
            given |= {"back": "picture", "picture": str(_upload(visit))}
        elif do == "save":
            made = _save(visit, given)
            flash(
                t("模板已启用，从下一张海报开始用。", "It is active from the next poster on."),
                "success",
            )
            return redirect(visit.url("poster", template_id=made))
    except DomainError as error:
        wrong = error.details.get("problems")
        flash(
            said(error) if not wrong else t("还没有保存：请改好标出的地方。", "Not saved: correct what is marked.")
            if do != "json" else t("JSON 里有问题：", "Wrong in the JSON: ") + "；".join(map(str, wrong)),
            "danger",
        )  # fmt: skip
    return _editor(visit, given)


def _without_design(given: Mapping[str, str]) -> dict[str, str]:
    kept = ("name", "purpose", "sample", "own_sample")
    return {name: given[name] for name in kept if name in given}


def _begun(visit: Visit) -> dict[str, str]:
    """What the form begins with: another template, or our own design of the purpose."""
    base = request.args.get("base", type=int)
    if base is not None:
        row = visit.read(lambda session: poster_templates.get(session, visit.account.id, base))
        return {"purpose": row.purpose, **poster_form.fields_of(json.loads(row.design))}
    purpose = request.args.get("purpose", designs.INVITE)
    purpose = purpose if purpose in PURPOSES else designs.INVITE
    return {"purpose": purpose, **poster_form.fields_of(designs.BUILT_IN[purpose])}


def _editor(visit: Visit, given: Mapping[str, str]) -> str:
    draft = _draft(visit, poster_form.read(given), _sample(given))
    pictures = visit.read(lambda session: poster_templates.pictures_of(session, visit.account.id))
    return render_template(
        "console/poster_new.html", given=given, draft=draft, problems=draft.problems, pictures=pictures,
        rows=poster_form.rows_of(given), form=poster_form, purposes=PURPOSES, placeholders=sorted(designs.PLACEHOLDERS),
    )  # fmt: skip


def _upload(visit: Visit) -> int:
    """Keep the picture that was sent along; its number. Raises `Invalid`."""
    file = request.files.get("file")
    upload = drawing.clean_upload(b"" if file is None else file.read(uploads.MOST_BYTES + 1))
    return visit.transact(
        lambda session: (
            poster_templates.put_picture(session, visit.account.id, upload, visit.now).id
        )
    )


def _save(visit: Visit, given: Mapping[str, str]) -> int:
    written = poster_form.read(given)

    def add(session: Session) -> int:
        row = poster_templates.add(
            session, visit.account.id, name=given.get("name", ""), purpose=given.get("purpose", ""),
            design=written.design, now=visit.now,
        )  # fmt: skip
        visit.note(
            session,
            action="poster_template_added",
            subject=f"poster_template/{row.id}",
            after={"name": row.name, "purpose": row.purpose},
        )
        return row.id

    # What cannot be drawn must not reach a member: that a code is too small is only seen by drawing it.
    background = visit.read(lambda session: _background(session, visit, written.design))
    _drawn(visit, written.design, background)
    return visit.transact(add)


@page("/posters/<int:template_id>/retire", allow=Permission.CODES_CHANGE, methods=("POST",))
def poster_retire(visit: Visit, template_id: int) -> Response:
    """Show it to nobody any more."""

    def retire(session: Session) -> None:
        row = poster_templates.get(session, visit.account.id, template_id)
        if not visit.reason():
            raise Invalid("a reason is needed")
        if row.retired_at is not None:
            raise Invalid("no such active template")
        poster_templates.retire(session, visit.account.id, template_id, visit.now)
        visit.note(
            session,
            action="poster_template_retired",
            subject=f"poster_template/{template_id}",
            after={"reason": visit.reason()},
        )

    return visit.change(
        retire,
        done=t("已停用，数据都保留。", "Retired; its figures stay."),
        back=visit.url("poster", template_id=template_id),
    )


@page("/posters/<int:template_id>/weight", allow=Permission.CODES_CHANGE, methods=("POST",))
def poster_weight(visit: Visit, template_id: int) -> Response:
    """Show it to more members or to fewer."""
    written = request.form.get("weight", "").strip()
    weight = int(written) if written.isdecimal() and len(written) < 4 else 0

    def weigh(session: Session) -> None:
        before = poster_templates.get(session, visit.account.id, template_id).weight
        poster_templates.weigh(session, visit.account.id, template_id, weight)
        visit.note(
            session,
            action="poster_template_weighed",
            subject=f"poster_template/{template_id}",
            before={"weight": before},
            after={"weight": weight},
        )

    return visit.change(
        weigh,
        done=t(
            "已保存，会员下一次要海报时按新的权重。",
            "Saved: it counts from a member's next poster on.",
        ),
        back=visit.url("poster", template_id=template_id),
    )


@page("/posters/<int:template_id>/activate", allow=Permission.CODES_CHANGE, methods=("POST",))
def poster_activate(visit: Visit, template_id: int) -> Response:
    """Show a retired template again."""

    def activate(session: Session) -> None:
        row = poster_templates.get(session, visit.account.id, template_id)
        if row.retired_at is None:
            raise Invalid("no such retired template")
        poster_templates.activate(session, visit.account.id, template_id)
        visit.note(
            session, action="poster_template_activated", subject=f"poster_template/{template_id}"
        )

    return visit.change(
        activate,
        done=t("已重新启用。", "It is active again."),
        back=visit.url("poster", template_id=template_id),
    )
