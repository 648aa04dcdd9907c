"""渠道码, 商品码: every code with what it brought, its picture for printing, what is said to who scans it, and the
permanent pool. The page of a promoter's own code is the same, without an answer of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

import segno
from flask import flash, redirect, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound as NoPage
from werkzeug.wrappers import Response

from domain import code_stats, codes, products, scenes, tags, uploads
from domain.bodies import IMAGE
from domain.china import day_of
from domain.code_stats import Figures
from domain.errors import DomainError, Invalid, NotFound
from domain.models import Audit, Code, CodeDay, Member, Outbox, PermanentGrant, QrTicket, Scene
from domain.staff.permissions import Permission
from web.console import charts, reply_form
from web.console.both import Both
from web.console.cells import BADGE, COUNT, INSTANT, MONEY, Badge
from web.console.charts import Series
from web.console.listing import Choice, Column, Condition, Listing, Search, Sort
from web.console.member import TABS, member_of
from web.console.members import name_of
from web.console.navigation import MESSAGES, Menu
from web.console.refusals import explain, said
from web.console.states import STATES, choices, state
from web.console.visit import Answer, Visit, page
from web.console.wechat_words import retold
from web.pages import t

SPANS: Final = (7, 30, 90)
DAYS: Final = 30
HISTORY: Final = 10
PRINT_PIXELS: Final = 1600
"""Side of the PNG: 13 cm at 300 dots an inch. Larger ones are printed from the SVG."""

STATES["scene"] = {
    scenes.CHANNEL: ("渠道码", "Channel", "info"),
    scenes.PRODUCT: ("商品码", "Product", "success"),
    scenes.PROMOTER: ("推广码", "Promoter", "secondary"),
}
STATES["code"] = {
    "used": ("使用中", "In use", "success"),
    "archived": ("已归档", "Archived", "secondary"),
}
FIGURES: Final = (
    ("scans", Both("扫码", "Scans")),
    ("follows", Both("关注", "Follows")),
    ("joined", Both("新会员", "New members")),
    ("leaves", Both("取消关注", "Left")),
    ("buyers", Both("购买人数", "Buyers")),
    ("orders", Both("订单", "Orders")),
    ("sales_fen", Both("销售额", "Sales")),
)
"""`Figures` of a code in words."""
DONE: Final = {
    "code_added": Both("新建", "Made"),
    "code_changed": Both("修改", "Changed"),
    "code_archived": Both("归档", "Archived"),
    "code_permanent": Both("改为永久码", "Made permanent"),
}

_LENGTH = Both("名称为 1 到 60 个字。", "A name has 1 to 60 characters.")
explain("a name has 1 to 60 characters", _LENGTH)
explain(
    "a reply has 1 to 600 characters", Both("回复最多 600 个字。", "A reply has 600 characters at most.")
)  # fmt: skip
explain(
    "a tag has 1 to 30 characters", Both("标签最多 30 个字。", "A tag has 30 characters at most.")
)
explain(
    "a media_id has 1 to 128 characters",
    Both("素材 ID 最多 128 位。", "A media id has 128 characters at most."),
)
explain(
    "a media id is ASCII", Both("素材 ID 是微信给的英文编号。", "A media id is letters and digits.")
)
explain(
    "WeChat takes one message as the answer: a text or a picture, not both",
    Both(
        "文字和图片只能选一个：要图片就清空文字，要文字就选“不用图片”。",
        "The answer is a text or a picture, not both: empty the one, or choose no picture.",
    ),
)
explain(
    "there is a code of this name",
    Both("这个名称已经用过，请换一个。", "This name has been used: take another."),
)
explain("no such product", Both("没有这个货号的商品。", "There is no product with this sku."))
explain(
    "permanent_pool_exhausted",
    Both(
        "永久码已经用完，一个也没有发出。微信给每个公众号的永久码不能删除，也不能再增加。",
        "The pool of permanent codes is used up; none was given. WeChat deletes none and gives no more.",
    ),
)


explain(
    "making a code permanent needs a yes",
    Both("请先勾选确认。", "Please confirm it first."),
)


def days_asked() -> int:
    """For how many days figures are shown."""
    wanted = request.args.get("days", DAYS, type=int)
    return wanted if wanted in SPANS else DAYS


def span_of(visit: Visit) -> tuple[date, date]:
    """The first and the last of these days."""
    until = day_of(visit.now)
    return until - timedelta(days=days_asked() - 1), until


# --- the list -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A code in the list with what it brought in the days that are shown."""

    code: Code
    scene: Scene
    figures: Figures


def _found_by(_visit: Visit, text: str) -> Condition:
    """A name, or the beginning of a sku. An account has some hundred codes, all under one index."""
    found = Code.name.contains(text, autoescape=True)
    return found | Scene.sku.startswith(text, autoescape=True) if text.isascii() else found


def _in_state(value: str) -> Condition:
    return Code.archived_at.is_not(None) if value == "archived" else Code.archived_at.is_(None)


def _kind_of(line: Line) -> Badge:
    return state("code", "archived") if line.code.archived_at else state("scene", line.scene.kind)


CODES = Listing(
    title=Both("渠道码", "Codes"),
    columns=(
        Column(
            Both("名称", "Name"), lambda line: line.code.name, lead=True,
            href=lambda visit, line: visit.url("code", code_id=line.scene.id),
        ),
        Column(Both("种类", "Kind"), _kind_of, BADGE),
        Column(Both("扫码", "Scans"), lambda line: line.figures.scans, COUNT),
        Column(Both("关注", "Follows"), lambda line: line.figures.follows, COUNT),
        Column(Both("新会员", "Joined"), lambda line: line.figures.joined, COUNT),
        Column(Both("购买人数", "Buyers"), lambda line: line.figures.buyers, COUNT),
        Column(Both("订单", "Orders"), lambda line: line.figures.orders, COUNT),
        Column(Both("销售额", "Sales"), lambda line: line.figures.sales_fen, MONEY),
        Column(Both("仍关注", "Still follow"), lambda line: line.code.following, COUNT),
        Column(Both("共带来", "Ever"), lambda line: line.code.people, COUNT),
    ),
    sorts=(
        Sort("newest", Both("最新", "Newest"), Code.scene_id, lambda row: row.Code.scene_id),
        Sort("people", Both("带来的人最多", "Brought most"), Code.people, lambda row: row.Code.people),
        Sort("following", Both("仍关注的最多", "Most still follow"), Code.following, lambda row: row.Code.following),
    ),
    id_column=Code.scene_id,
    row_id=lambda row: row.Code.scene_id,
    filters=(
        Choice("kind", Both("种类", "Kind"), choices("scene")[:2], Scene.kind),
        Choice("state", Both("状态", "State"), choices("code"), where=_in_state),
    ),
    search=Search(Both("名称或货号", "Name or sku"), _found_by),
    empty=Both(
        "还没有渠道码。给橱窗、传单、直播间各做一个，就知道人从哪里来。",
        "No codes yet. Make one for each window, leaflet and stream, and see where people come from.",
    ),
    file="codes",
    template="console/code_list.html",
)  # fmt: skip


@page(
    "/codes",
    allow=Permission.CODES_READ,
    menu=Menu(MESSAGES, Both("渠道码", "Codes"), "qr-code", 40),
)
def code_list(visit: Visit) -> Answer:
    """Codes of the merchant with what they brought in the last days."""
    since, until = span_of(visit)
    account_id = visit.account.id

    def fill(session: Session, rows: Sequence[Any]) -> list[Line]:
        ids = [row.Scene.id for row in rows]
        sums = code_stats.sums(session, account_id, code_stats.CODE, ids, since, until)
        return [Line(row.Code, row.Scene, sums[row.Scene.id]) for row in rows]

    rows: Any = select(Code, Scene).join(Scene, Scene.id == Code.scene_id)
    rows = rows.where(Code.account_id == account_id)
    return replace(CODES, fill=fill).answer(visit, rows, spans=SPANS, days=days_asked())


# --- one code -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page of a code shows; a promoter's own has no `code`."""

    scene: Scene
    code: Code | None
    ticket: QrTicket | None
    grant: PermanentGrant | None
    member: Member | None
    product_id: int | None
    granted: int
    asking: Outbox | None
    days: list[CodeDay]
    history: list[Audit]

    @property
    def name(self) -> str:
        if self.code is not None:
            return self.code.name
        return name_of(self.member) if self.member is not None else self.scene.code

    def lapsed(self, now: datetime) -> bool:
        """Whether a camera finds nothing behind the picture any more."""
        expires_at = self.ticket.expires_at if self.ticket is not None else None
        return expires_at is not None and expires_at <= now


def _look(session: Session, visit: Visit, code_id: int) -> Shown:
    account_id = visit.account.id
    scene = scenes.get(session, account_id, code_id)
    since, until = span_of(visit)
    grants = select(PermanentGrant).where(PermanentGrant.scene_id == scene.id)
    notes = select(Audit).where(
        Audit.account_id == account_id, Audit.subject == f"scene/{scene.id}"
    )
    product = products.find(session, account_id, scene.sku) if scene.sku is not None else None
    return Shown(
        scene, session.get(Code, scene.id), scenes.newest_ticket(session, scene.id), session.scalar(grants),
        None if scene.member_id is None else session.get(Member, scene.member_id),
        None if product is None else product.id, codes.granted(session, account_id), codes.asking(session, scene.id),
        code_stats.days_of(session, account_id, code_stats.CODE, scene.id, since, until),
        list(session.scalars(notes.order_by(Audit.id.desc()).limit(HISTORY))),
    )  # fmt: skip


@page("/codes/<int:code_id>", allow=Permission.CODES_READ)
def code(visit: Visit, code_id: int) -> Answer:
    """One code: its picture, what it brought day by day, what is said to who scans it, and what can be done."""
    shown = visit.read(lambda session: _look(session, visit, code_id))
    pool = visit.account.settings.permanent_pool
    return render_template(
        "console/code.html", shown=shown, kind=state("scene", shown.scene.kind), spans=SPANS, days=days_asked(),
        totals=_totals(shown.days), figures=FIGURES, charts=_charts(visit, shown.days), pool=pool,
        left=max(0, pool - shown.granted), lapsed=shown.lapsed(visit.now), done=DONE, why=_why, retold=retold,
        **visit.read(lambda session: _offered(session, visit)),
    )  # fmt: skip


def _offered(session: Session, visit: Visit) -> dict[str, Any]:
    """What the form of a code offers: the account's pictures and WeChat's tags."""
    files = uploads.all_of(session, visit.account.id)
    return {
        "pictures": {one.media: one for one in files if one.kind == IMAGE},
        "tags": tags.tags_of(session, visit.account.id),
    }


def _why(row: Audit) -> str:
    """The reason that a change was given."""
    return str(json.loads(row.after or "{}").get("reason", ""))


def _totals(days: Sequence[CodeDay]) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in days) for name, _ in FIGURES}


def _charts(visit: Visit, rows: Sequence[CodeDay]) -> list[tuple[str, list[str], Any]]:
    """(title, names of the series, picture) of the days that are shown."""
    since, until = span_of(visit)
    known = {row.day: row for row in rows}
    days = [since + timedelta(days=number) for number in range((until - since).days + 1)]

    def drawn(
        title: str, names: Sequence[str], shown: Callable[[float], str]
    ) -> tuple[str, list[str], Any]:
        lines = [
            Series(
                str(dict(FIGURES)[name]), [getattr(known.get(day), name, 0) for day in days]
            )
            for name in names
        ]  # fmt: skip
        return title, [one.title for one in lines], charts.bars(title, days, lines, shown)

    return [
        drawn(t("扫码与关注", "Scans and follows"), ("scans", "follows"), lambda number: f"{round(number):,}"),
        drawn(t("销售额", "Sales"), ("sales_fen",), lambda fen: f"¥{round(fen) // 100:,}"),
    ]  # fmt: skip


@page("/codes/<int:code_id>/picture", allow=Permission.CODES_READ)
def code_picture(visit: Visit, code_id: int) -> Response:
    """The code as WeChat issued it: a PNG, or with `?as=svg` a drawing of any size; `?save=1` to keep it as a file."""

    def find(session: Session) -> tuple[Scene, QrTicket | None]:
        scene = scenes.get(session, visit.account.id, code_id)
        return scene, scenes.newest_ticket(session, scene.id)

    scene, ticket = visit.read(find)
    if ticket is None:
        raise NoPage
    kind = "svg" if request.args.get("as") == "svg" else "png"
    drawn = segno.make(ticket.url, error="m", micro=False)
    modules = drawn.symbol_size()[0]
    out = io.BytesIO()
    drawn.save(out, kind=kind, scale=max(1, PRINT_PIXELS // modules), dark="#000", light="#fff")
    answer = Response(
        out.getvalue(), mimetype="image/svg+xml" if kind == "svg" else "image/png",
        headers={"Cache-Control": "private, max-age=60"},
    )  # fmt: skip
    if "save" in request.args or kind == "svg":
        name = f"{visit.account.slug}-{scene.code}.{kind}"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


# --- what can be done -----------------------------------------------------------------------------------------------


@page("/codes/new", allow=Permission.CODES_CHANGE, methods=("GET", "POST"))
def code_new(visit: Visit) -> Answer:
    """A channel code, or a product's code in one place."""
    if request.method == "GET":
        return _new_form(visit)

    def add(session: Session) -> int:
        account_id = visit.account.id
        is_product = request.form.get("kind") == scenes.PRODUCT
        said_by = _said(session, visit)
        made = codes.add(
            session, account_id, name=request.form.get("name", ""), now=visit.now,
            sku=request.form.get("sku", "").strip() if is_product else None, **said_by,
        )  # fmt: skip
        tags.follow_code(session, account_id, made.scene.code, said_by["tag"])
        visit.note(
            session, action="code_added", subject=f"scene/{made.scene.id}", after=_noted(made.code)
        )
        return made.scene.id

    try:
        code_id = visit.transact(add)
    except DomainError as error:
        flash(said(error), "danger")
        return _new_form(visit)
    flash(
        t("已新建，微信的二维码几秒钟内就好。", "Made; WeChat's code is here within seconds."),
        "success",
    )
    return redirect(visit.url("code", code_id=code_id))


def _new_form(visit: Visit) -> str:
    account_id = visit.account.id
    return render_template(
        "console/code_new.html", given=request.form,
        products=visit.read(lambda session: products.all_of(session, account_id, limit=200)),
        **visit.read(lambda session: _offered(session, visit)),
    )  # fmt: skip


def _said(session: Session, visit: Visit) -> dict[str, Any]:
    """Answer and tag as the form has them; an empty field is none. A picture that came with it is kept."""
    file, media = request.files.get("file"), request.form.get("media", "")
    number: int | None = None
    if file is not None and file.filename:
        number = reply_form.kept(session, visit, IMAGE, file)
    elif media:
        number = reply_form.number_of(media)
    names = ("reply", "media_id", "tag")
    return {"media": number} | {name: request.form.get(name, "").strip() or None for name in names}


def _noted(row: Code) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("name", "reply", "media", "media_id", "tag")}


def _managed(session: Session, visit: Visit, code_id: int) -> codes.Card:
    """The code of the merchant, or `NotFound`: a promoter's own has no answer and is not archived."""
    scene = scenes.get(session, visit.account.id, code_id)
    try:
        return codes.get(session, visit.account.id, scene.code)
    except NotFound as error:
        raise Invalid("no such code") from error


@page("/codes/<int:code_id>/change", allow=Permission.CODES_CHANGE, methods=("POST",))
def code_change(visit: Visit, code_id: int) -> Response:
    """Another name, answer or tag. The picture stays the same."""

    def change(session: Session) -> None:
        card = _managed(session, visit, code_id)
        before = _noted(card.code)
        said_by = _said(session, visit)
        codes.change(
            session, visit.account.id, card.scene.code, name=request.form.get("name", ""), **said_by
        )
        if before["tag"] != said_by["tag"]:  # else everybody would be looked at for nothing
            tags.follow_code(session, visit.account.id, card.scene.code, said_by["tag"])
        visit.note(
            session,
            action="code_changed",
            subject=f"scene/{code_id}",
            before=before,
            after=_noted(card.code),
        )

    return visit.change(
        change,
        done=t("已保存，下一次扫码就按新的回复。", "Saved: the next scan is answered like this."),
        back=visit.url("code", code_id=code_id),
    )


@page("/codes/<int:code_id>/archive", allow=Permission.CODES_CHANGE, methods=("POST",))
def code_archive(visit: Visit, code_id: int) -> Response:
    """Renew it no more."""

    def archive(session: Session) -> None:
        card = _managed(session, visit, code_id)
        if not visit.reason():
            raise Invalid("a reason is needed")
        codes.archive(session, visit.account.id, card.scene.code, visit.now)
        visit.note(
            session,
            action="code_archived",
            subject=f"scene/{code_id}",
            after={"reason": visit.reason()},
        )

    return visit.change(
        archive,
        done=t("已归档，不再续期；数据都保留。", "Archived: renewed no more, its figures stay."),
        back=visit.url("code", code_id=code_id),
    )


@page("/codes/<int:code_id>/permanent", allow=Permission.CODES_CHANGE, methods=("POST",))
def code_permanent(visit: Visit, code_id: int) -> Response:
    """Give it one of the account's permanent codes, for ever."""

    def give(session: Session) -> None:
        scene = scenes.get(session, visit.account.id, code_id)
        if not request.form.get("sure"):
            raise Invalid("making a code permanent needs a yes")
        codes.grant_permanent(
            session, visit.account.id, visit.account.settings, scene.code, actor=visit.actor, now=visit.now
        )  # fmt: skip

    return visit.change(
        give,
        done=t("已改为永久码，正在向微信申请。", "It is permanent now; WeChat is being asked."),
        back=visit.url("code", code_id=code_id),
    )


@page("/codes/<int:code_id>/ticket", allow=Permission.CODES_CHANGE, methods=("POST",))
def code_ticket(visit: Visit, code_id: int) -> Response:
    """Ask WeChat once more for a code that did not come, or has lapsed; at most once a minute."""

    def ask(session: Session) -> None:
        scene = scenes.get(session, visit.account.id, code_id)
        key = f"{scene.id}-{visit.now:%Y%m%d%H%M}"
        codes.ask_ticket(
            session, scene, key, visit.now, permanent=codes.is_permanent(session, scene.id)
        )

    return visit.change(
        ask,
        done=t("已向微信申请，请稍后刷新。", "WeChat is asked: reload in a moment."),
        back=visit.url("code", code_id=code_id),
    )


# --- the permanent pool ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A place of the pool with the scene that has it."""

    row: PermanentGrant
    scene: Scene
    name: str


def _with_scenes(session: Session, rows: Sequence[Any]) -> list[Given]:
    ids = [row.scene_id for row in rows]
    query = (
        select(Scene, Code.name, Member)
        .outerjoin(Code, Code.scene_id == Scene.id)
        .outerjoin(Member, Member.id == Scene.member_id)
        .where(Scene.id.in_(ids))
    )
    found = {row.Scene.id: row for row in session.execute(query)}
    return [
        Given(row, one.Scene, one.name or (name_of(one.Member) if one.Member else one.Scene.code))
        for row in rows
        if (one := found.get(row.scene_id)) is not None
    ]


POOL = Listing(
    title=Both("永久码", "Permanent codes"),
    columns=(
        Column(
            Both("给了谁", "Given to"), lambda one: one.name, lead=True,
            href=lambda visit, one: visit.url("code", code_id=one.scene.id),
        ),
        Column(Both("第几个", "Number"), lambda one: one.row.number, COUNT),
        Column(Both("种类", "Kind"), lambda one: state("scene", one.scene.kind), BADGE),
        Column(Both("谁给的", "By"), lambda one: one.row.actor),
        Column(Both("时间", "When"), lambda one: one.row.granted_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), PermanentGrant.number, lambda row: row.number),),
    id_column=PermanentGrant.number,
    row_id=lambda row: row.number,
    fill=_with_scenes,
    empty=Both("还没有给出永久码。在码的页面上可以改为永久码。", "None was given yet: a code's page gives one."),
    file="permanent-codes",
    template="console/code_pool.html",
)  # fmt: skip


@page("/codes/pool", allow=Permission.CODES_READ)
def code_pool(visit: Visit) -> Answer:
    """How many permanent codes are left, and who has one."""
    granted = visit.read(lambda session: codes.granted(session, visit.account.id))
    pool = visit.account.settings.permanent_pool
    rows = select(PermanentGrant).where(PermanentGrant.account_id == visit.account.id)
    return POOL.answer(visit, rows, granted=granted, pool=pool, left=max(0, pool - granted))


# --- promoters' codes -----------------------------------------------------------------------------------------------


@page("/members/<int:member_id>/codes", allow=Permission.CODES_READ)
def member_codes(visit: Visit, member_id: int) -> Answer:
    """The codes that lead to a member: their own, and those of their product posters."""

    def look(session: Session) -> tuple[Member, list[Scene], dict[int, QrTicket]]:
        row = member_of(session, visit, member_id)
        own = scenes.of_promoter(session, row.id)
        return row, own, codes.newest_tickets(session, [one.id for one in own])

    row, own, tickets = visit.read(look)
    return render_template(
        "console/member_codes.html", member=row, name=name_of(row), tabs=TABS, scenes=own, tickets=tickets
    )  # fmt: skip
