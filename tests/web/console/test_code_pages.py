"""Codes are made, printed, changed, archived, given for ever; poster templates are drawn, saved, retired, taken up."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from PIL import Image
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage

from domain import (
    accounts,
    codes,
    designs,
    members,
    poster_templates,
    products,
    scenes,
    tags,
    uploads,
)
from domain.accounts import OpenAccount
from domain.china import day_of
from domain.errors import Invalid
from domain.models import Audit, Code, CodeDay, Outbox, PosterTemplate, Scene
from tests.web.console.browser import Browser, Console
from web.console import poster_form

T = TypeVar("T")
CODES = "/console/tea/codes"
POSTERS = "/console/tea/posters"


@pytest.fixture
def do(console: Console) -> Callable[[Callable[[Session], T]], T]:
    """Run something in the database."""
    return console.merchant.database.transact


def made(do: Any, account: OpenAccount, console: Console, name: str = "橱窗", **more: Any) -> Any:
    return do(lambda session: codes.add(session, account.id, name=name, now=console.now, **more))


def issue(do: Any, console: Console, scene: Scene, days: float | None = 30) -> None:
    expires_at = None if days is None else console.now + timedelta(days=days)
    do(
        lambda session: scenes.record_ticket(
            session, scene, ticket="T", url="http://weixin.qq.com/q/02abc", expires_at=expires_at, now=console.now
        )
    )  # fmt: skip


def audits(do: Any) -> list[tuple[str, Any, Any]]:
    def load(text: str | None) -> Any:
        return None if text is None else json.loads(text)

    rows = do(lambda session: session.scalars(select(Audit).order_by(Audit.id)).all())
    return [(row.action, load(row.before), load(row.after)) for row in rows]


# --- codes ----------------------------------------------------------------------------------------------------------


def test_channel_code_is_made_with_its_answer_and_its_tag(
    owner: Browser, do: Any, account: OpenAccount
) -> None:
    answer = owner.post(f"{CODES}/new", kind="channel", name=" 橱窗 ", reply="欢迎", tag="橱窗客人")
    assert answer.location.startswith(f"{CODES}/")
    row = do(lambda session: session.scalars(select(Code)).one())
    assert (row.name, row.reply, row.tag) == ("橱窗", "欢迎", "橱窗客人")
    [rule] = do(lambda session: tags.rules_of(session, account.id))
    scene = do(lambda session: session.get_one(Scene, row.scene_id))
    assert (rule.attribute, rule.value, rule.name) == (tags.CHANNEL, scene.code, "橱窗客人")
    assert do(lambda s: s.scalars(select(Outbox.topic).where(Outbox.topic == "code")).all())
    assert audits(do)[-1][0] == "code_added"
    assert "正在向微信申请" in owner.get(answer.location).text


def test_name_that_is_taken_and_a_product_that_is_not_there_are_told_beside_what_was_written(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    made(do, account, console)
    again = owner.post(f"{CODES}/new", kind="channel", name="橱窗", reply="还在")
    assert "这个名称已经用过" in again.text
    assert "还在" in again.text
    unknown = owner.post(f"{CODES}/new", kind="product", name="货架", sku="NONE")
    assert "没有这个货号的商品" in unknown.text
    both = owner.post(f"{CODES}/new", kind="channel", name="门", reply="a", media_id="m")
    assert "只能选一个" in both.text


def test_picture_answers_from_the_files_or_a_new_one_and_is_seen_where_it_is_used(
    owner: Browser, do: Any, account: OpenAccount
) -> None:
    def png(name: str, end: bytes) -> FileStorage:
        return FileStorage(io.BytesIO(b"\x89PNG\r\n\x1a\n" + end), name)

    made_at = owner.post(
        f"{CODES}/new", kind="channel", name="橱窗", file=png("窗.png", b"1")
    ).location
    first = do(lambda s: s.scalars(select(Code.media)).one())
    assert [row.name for row in do(lambda s: uploads.all_of(s, account.id))] == ["窗.png"]
    page = owner.get(made_at).text
    assert f"/console/tea/media/{first}" in page
    assert f'<option value="{first}" selected>' in page
    files = owner.get("/console/tea/media").text
    assert made_at in files
    assert f"/console/tea/media/{first}/remove" not in files
    owner.post(f"{made_at}/change", name="橱窗", media=first, file=png("新.png", b"2"))
    second = do(lambda s: s.scalars(select(Code.media)).one())
    assert second != first, "what is uploaded goes before what was chosen"
    action, before, after = audits(do)[-1]
    assert (action, before["media"], after["media"]) == ("code_changed", first, second)
    for wrong, words in (
        ({"media": first, "reply": "文字"}, "文字和图片只能选一个"),
        ({"media": "99"}, "没有这个文件"),
        ({"media": "x"}, "没有这个文件"),
        ({"file": png("声.mp3", b"")}, "微信不支持这种文件"),
    ):
        owner.post(f"{made_at}/change", name="橱窗", **wrong)
        assert words in owner.said()
    assert do(lambda s: s.scalars(select(Code.media)).one()) == second
    owner.post(f"{made_at}/change", name="橱窗", reply="文字")
    assert do(lambda s: s.execute(select(Code.media, Code.reply)).one()) == (None, "文字")


def test_products_code_leads_to_its_product(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    tea = do(
        lambda s: products.put(s, account, "TEA-1", name="龙井", price_fen=1, now=console.now).id
    )
    owner.post(f"{CODES}/new", kind="product", name="货架", sku="TEA-1")
    scene = do(lambda s: s.scalars(select(Scene).where(Scene.kind == scenes.PRODUCT)).one())
    assert f"/console/tea/products/{tea}" in owner.get(f"{CODES}/{scene.id}").text


def test_list_shows_what_each_code_brought_in_the_days_that_are_asked_for(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    card = made(do, account, console)
    made(do, account, console, "传单")

    def count(session: Session) -> None:
        for back, scans in ((0, 7), (40, 100)):
            session.add(
                CodeDay(
                    account_id=account.id, subject="code", ref_id=card.scene.id, scans=scans, sales_fen=1250,
                    day=day_of(console.now) - timedelta(days=back), posters=0, follows=0, joined=0, leaves=0, buyers=0,
                    orders=0,
                )
            )  # fmt: skip

    do(count)
    month, quarter = (owner.get(CODES, days=days).text for days in (30, 90))
    assert ">7<" in month
    assert ">107<" not in month
    assert ">107<" in quarter
    assert "¥25.00" in quarter
    assert "传单" not in owner.get(CODES, q="橱").text
    table = owner.get(CODES, format="csv", days=90).data.decode("utf-8-sig")
    assert "橱窗,渠道码,107," in table


def test_picture_is_a_png_for_print_or_a_drawing_as_a_file(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    card = made(do, account, console)
    path = f"{CODES}/{card.scene.id}/picture"
    assert owner.get(path).status_code == 404
    issue(do, console, card.scene)
    png = owner.get(path)
    with Image.open(io.BytesIO(png.data)) as drawn:
        assert drawn.width == drawn.height > 1400
    assert "attachment" in owner.get(path, save=1).headers["Content-Disposition"]
    svg = owner.get(path, **{"as": "svg"})
    assert b"<svg" in svg.data
    assert "attachment" in svg.headers["Content-Disposition"], "it must not open as a page"


def test_answer_tag_and_name_are_changed_and_taken_away(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    card = made(do, account, console, reply="旧", tag="旧标签")
    path = f"{CODES}/{card.scene.id}"
    do(lambda s: tags.follow_code(s, account.id, card.scene.code, "旧标签"))
    owner.post(f"{path}/change", name="大门", reply="新", tag="新标签")
    assert "已保存" in owner.said()
    [rule] = do(lambda session: tags.rules_of(session, account.id))
    assert rule.name == "新标签"
    action, before, after = audits(do)[-1]
    assert (action, before["reply"], after["reply"]) == ("code_changed", "旧", "新")
    owner.post(f"{path}/change", name="大门")
    assert do(lambda session: tags.rules_of(session, account.id)) == []
    owner.post(f"{path}/change", name="")
    assert "名称为 1 到 60 个字" in owner.said()
    assert do(lambda s: s.scalars(select(Code.name)).one()) == "大门"


def test_archiving_needs_a_reason_which_stays_in_the_history(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    path = f"{CODES}/{made(do, account, console).scene.id}"
    owner.post(f"{path}/archive")
    assert "请写明原因" in owner.said()
    assert do(lambda s: s.scalars(select(Code.archived_at)).one()) is None
    owner.post(f"{path}/archive", reason="活动结束")
    assert do(lambda s: s.scalars(select(Code.archived_at)).one()) is not None
    assert "活动结束" in owner.get(path).text


def test_permanent_place_is_taken_once_after_a_yes_and_an_empty_pool_is_said(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    def cap(session: Session) -> None:
        changed = {"linked_apps": ["wx-mini"], "permanent_pool": 1}
        accounts.revise(session, account.id, changed, actor="t", now=console.now)

    do(cap)
    first, second = (made(do, account, console, name) for name in ("橱窗", "传单"))
    path = f"{CODES}/{first.scene.id}"
    owner.post(f"{path}/permanent")
    assert "请先勾选确认" in owner.said()
    for _ in range(2):
        owner.post(f"{path}/permanent", sure="1")
    assert do(lambda s: codes.granted(s, account.id)) == 1
    owner.post(f"{CODES}/{second.scene.id}/permanent", sure="1")
    assert "永久码已经用完" in owner.said()
    pool = owner.get(f"{CODES}/pool").text
    assert "永久码名额已用完" in pool
    assert "橱窗" in pool
    assert "名额已用完" in owner.get(f"{CODES}/{second.scene.id}").text


def test_lapsed_code_is_told_and_asked_for_again(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    card = made(do, account, console)
    issue(do, console, card.scene, days=-1)
    path = f"{CODES}/{card.scene.id}"
    assert "二维码已过期" in owner.get(path).text
    owner.post(f"{path}/ticket")
    refuse = (
        update(Outbox).where(Outbox.topic == "code").values(state="dead", last_error="48001 no")
    )
    do(lambda session: session.execute(refuse))
    assert "这个公众号没有此接口的权限" in owner.get(path).text
    keys = do(lambda s: s.scalars(select(Outbox.dedupe_key).where(Outbox.topic == "code")).all())
    assert len(keys) == 2


def test_promoters_codes_stand_on_their_own_page_and_are_not_archived(
    owner: Browser, do: Any, account: OpenAccount, console: Console
) -> None:
    member = do(lambda s: members.get(s, account.id, "parent"))
    other = do(lambda s: members.get(s, account.id, "child"))
    do(lambda s: products.put(s, account, "TEA-1", name="龙井", price_fen=1, now=console.now))
    own = do(lambda s: scenes.of_member(s, account.id, member.id, console.now))
    of_tea = do(lambda s: scenes.of_member_product(s, account.id, member.id, "TEA-1", console.now))
    theirs = do(lambda s: scenes.of_member(s, account.id, other.id, console.now))
    html = owner.get(f"/console/tea/members/{member.id}/codes").text
    assert f"{CODES}/{own.id}" in html
    assert f"{CODES}/{of_tea.id}" in html
    assert f'"{CODES}/{theirs.id}"' not in html
    assert f"/console/tea/members/{member.id}" in owner.get(f"{CODES}/{own.id}").text
    owner.post(f"{CODES}/{own.id}/archive", reason="x")
    assert "没有完成" in owner.said()


# --- posters --------------------------------------------------------------------------------------------------------


def form_of(design: Any, **more: str) -> dict[str, str]:
    return {"name": "春", "purpose": designs.INVITE, **poster_form.fields_of(design), **more}


def templates(do: Any) -> Any:
    return do(lambda s: s.scalars(select(PosterTemplate).order_by(PosterTemplate.id)).all())


@pytest.mark.parametrize("purpose", designs.PURPOSES)
def test_form_says_exactly_what_a_design_says(purpose: str) -> None:
    design = designs.BUILT_IN[purpose]
    again = poster_form.read(poster_form.fields_of(design)).design
    assert designs.parse(again) == designs.parse({**design, **again})
    assert again["items"] == [
        {name: value for name, value in item.items() if value is not False} for item in design["items"]
    ]  # fmt: skip


def test_template_is_drawn_while_it_is_written_and_saved(owner: Browser, do: Any) -> None:
    form = form_of(designs.BUILT_IN[designs.INVITE], back="color", back_color="#123456")
    look = owner.post(f"{POSTERS}/look", **form, sample="🌿茶茶").text
    assert "data:image/jpeg;base64," in look
    saved = owner.post(f"{POSTERS}/new", **form, do="save")
    [row] = templates(do)
    assert saved.location == f"{POSTERS}/{row.id}"
    assert json.loads(row.design)["background"] == {"color": "#123456"}
    assert audits(do)[-1][0] == "poster_template_added"
    with Image.open(io.BytesIO(owner.get(f"{POSTERS}/{row.id}/picture").data)) as drawn:
        assert drawn.size == (750, 1334)
        assert drawn.getpixel((5, 5)) == pytest.approx((0x12, 0x34, 0x56), abs=4)


def test_every_problem_stands_beside_its_field_and_nothing_is_saved(
    owner: Browser, do: Any
) -> None:
    form = form_of(designs.BUILT_IN[designs.INVITE]) | {
        "i0-x": "many", "i2-text": "{nobody}", "i1-dark": "#eeeeee", "width": "9",
    }  # fmt: skip
    page = owner.post(f"{POSTERS}/new", **form, do="save").text
    for name in ("i0-x", "i2-text", "i1", "size"):
        assert f'id="p-{name}-wrong"' in page, name
    assert "0 到 2700 的整数" in page
    assert "没有这个占位符 {nobody}" in page
    assert 'value="many"' in page
    assert templates(do) == []
    assert "改好这些就能看到海报" in owner.post(f"{POSTERS}/look", **form).text


def test_every_problem_of_a_design_has_chinese_words() -> None:
    wrong: dict[str, Any] = {
        "size": [1, 2], "background": {"picture": 0, "color": "red", "design": "oak"}, "more": 1,
        "items": [
            {"kind": "qr", "x": -1, "y": 0, "size": 10, "dark": "#fff", "light": "#ffffff"},
            {"kind": "text", "x": 0, "y": 0, "width": 20, "size": 20, "min_size": 90, "height": 10, "text": "",
             "align": "up", "bold": 1, "lines": 99, "more": 1},
            {"kind": "text", "x": 0, "y": 0, "width": 20, "size": 20, "text": "{a}"},
            {"kind": "avatar", "x": 2000, "y": 2000, "size": 700},
            {"kind": "video"}, {"kind": "qr", "x": 0, "y": 0, "size": 200},
        ],
    }  # fmt: skip
    others: list[Any] = [{"items": []}, [], {"size": "x"}, {**wrong, "items": wrong["items"][:4]}]
    for design in (wrong, *others):
        with pytest.raises(Invalid) as refused:
            designs.parse(design)
        for problem in refused.value.details["problems"]:
            words = problem.partition(": ")[2]
            assert poster_form.chinese(words) != words, words


def test_background_is_uploaded_without_losing_what_was_written(owner: Browser, do: Any) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 500), (200, 10, 10)).save(out, "PNG")
    form = form_of(designs.BUILT_IN[designs.INVITE], do="upload") | {"name": "红底"}
    file = FileStorage(io.BytesIO(out.getvalue()), filename="a.png")
    page = owner.post(f"{POSTERS}/new", **form, file=file).text
    assert 'value="红底"' in page
    [number] = do(lambda s: poster_templates.pictures_of(s, accounts.get(s, "tea").id))
    assert f'name="picture" value="{number}" checked' in page
    with Image.open(io.BytesIO(owner.get(f"{POSTERS}/pictures/{number}").data)) as kept:
        assert kept.format == "JPEG"
    broken = FileStorage(io.BytesIO(b"<script>"), filename="a.png")
    assert "读不出这张图片" in owner.post(f"{POSTERS}/new", **form, file=broken).text


def test_json_fills_the_form_and_is_what_a_template_exports(owner: Browser, do: Any) -> None:
    owner.post(f"{POSTERS}/new", **form_of(designs.BUILT_IN[designs.PRODUCT]), do="save")
    [row] = templates(do)
    exported = owner.get(f"{POSTERS}/{row.id}/design").text
    assert json.loads(exported) == json.loads(row.design)
    filled = owner.post(f"{POSTERS}/new", do="json", json=exported, name="新").text
    assert 'value="{product}"' in filled
    assert "这不是 JSON" in owner.post(f"{POSTERS}/new", do="json", json="{").text
    assert "unknown" in owner.post(f"{POSTERS}/new", do="json", json='{"more": 1}').text


def test_template_is_the_base_of_a_new_one_and_is_retired_and_taken_up_again(
    owner: Browser, do: Any
) -> None:
    form = form_of(designs.BUILT_IN[designs.INVITE])
    for name in ("甲", "乙"):
        owner.post(f"{POSTERS}/new", **(form | {"name": name}), do="save")
    first, _ = templates(do)
    assert "启用 · 50% 的会员" in owner.get(POSTERS).text
    assert 'value="邀请您一起加入' in owner.get(f"{POSTERS}/new", base=first.id).text
    path = f"{POSTERS}/{first.id}"
    for wrong in ("0", "101", "-1", "x", ""):
        owner.post(f"{path}/weight", weight=wrong)
        assert "权重是 1 到 100" in owner.said()
    owner.post(f"{path}/weight", weight="3")
    assert audits(do)[-1] == ("poster_template_weighed", {"weight": 1}, {"weight": 3})
    shares = owner.get(POSTERS).text
    assert "启用 · 75% 的会员" in shares
    assert "启用 · 25% 的会员" in shares
    owner.post(f"{path}/retire")
    assert "请写明原因" in owner.said()
    owner.post(f"{path}/retire", reason="换季")
    assert templates(do)[0].retired_at is not None
    owner.post(f"{path}/retire", reason="换季")
    assert "已经停用了" in owner.said()
    owner.post(f"{path}/activate")
    assert templates(do)[0].retired_at is None
    owner.post(f"{path}/activate")
    assert "正在使用" in owner.said()
    actions = [action for action, _, _ in audits(do)]
    assert actions[-2:] == ["poster_template_retired", "poster_template_activated"]
