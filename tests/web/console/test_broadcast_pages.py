"""Broadcasts: written with pictures and articles, looked at before they are saved, counted with what is left today,
tried on a phone, followed, and read person by person."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from sqlalchemy import select, update

from domain import campaigns
from domain.campaigns import planning
from domain.models import Campaign, CampaignFile, Member, Outbox
from tests.web.console.browser import Browser, Console
from tests.web.console.world import PNG, World
from web.console.composing import body_of, html_of, shown_body

NEW = "/console/tea/broadcasts/new"
ARTICLE = {
    "do": "save", "name": "春茶", "channel": "mass", "kind": "article", "title-0": "春茶上市",
    "body-0": "第一段\n\n[图1]\n<",
    "source_url-0": "https://shop.example/spring",
}  # fmt: skip


@pytest.fixture
def boss(console: Console, world: World) -> Browser:
    return console.browser(console.person((world.account, "operator"), login="boss"))


def upload(name: str = "a.png", content: bytes = PNG) -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def made(console: Console, name: str) -> Campaign:
    query = select(Campaign).where(Campaign.name == name)
    return console.merchant.database.read(lambda session: session.scalars(query).one())


def content(console: Console, name: str) -> Any:
    return campaigns.content_of(made(console, name))


def test_article_keeps_its_pictures_when_it_is_edited(console: Console, boss: Browser) -> None:
    files = {"cover-0": upload(), "pictures": upload("茶园.PNG")}
    boss.post(NEW, **ARTICLE, **files)
    assert "已存为草稿" in boss.said()
    article = content(console, "春茶").articles[0]
    assert article.cover == "cover-0.png"
    assert article.html == '<p>第一段</p><p><img src="file:1.png"></p><p>&lt;</p>'

    path = f"/console/tea/broadcasts/{made(console, '春茶').id}"
    shown = boss.get(f"{path}/edit").text
    assert "第一段\n\n[图1]\n\n&lt;" in shown, "the body is written as text again"
    assert boss.get(f"{path}/pictures/1.png").data == PNG
    boss.post(
        f"{path}/edit",
        **(ARTICLE | {"title-0": "夏茶", "pictures": upload("b.jpg", b"\xff\xd8\xff")}),
    )
    kept = console.merchant.database.read(lambda s: set(s.scalars(
        select(CampaignFile.name).where(CampaignFile.campaign_id == made(console, "春茶").id)
    )))  # fmt: skip
    assert kept == {"cover-0.png", "1.png", "2.jpg"}
    assert content(console, "春茶").articles[0].title == "夏茶"


def test_problems_are_told_in_words_and_nothing_is_saved(console: Console, boss: Browser) -> None:
    answer = boss.post(NEW, **ARTICLE)
    assert "找不到图片" in answer.text
    assert "春茶上市" in answer.text, "what was written is still in the form"
    count = select(Campaign.id).where(Campaign.name == "春茶")
    assert console.merchant.database.read(lambda s: s.scalars(count).all()) == []


def test_look_shows_the_message_the_check_and_the_count_and_keeps_nothing(
    console: Console, boss: Browser
) -> None:
    seen = boss.post(
        "/console/tea/broadcasts/look", **ARTICLE, chosen=["cover-0:a.png", "pictures:b.png"]
    )
    assert "内容检查通过" in seen.text
    assert "<strong>4</strong>" in seen.text
    assert "今天还剩 100" in seen.text
    seen = boss.post(
        "/console/tea/broadcasts/look", channel="mass", kind="text", text="", promoter="nobody"
    )
    assert "文字内容不能为空" in seen.text
    assert "没有这个粉丝" in seen.text
    assert boss.post("/console/tea/broadcasts/look", scheduled_at="soon").status_code == 200
    rows = select(Campaign.id)
    assert len(console.merchant.database.read(lambda s: s.scalars(rows).all())) == 1


def test_audience_is_saved_as_it_was_chosen(console: Console, world: World, boss: Browser) -> None:
    code = console.merchant.database.read(
        lambda s: s.get_one(Member, world.member_ids["grand"]).code
    )
    boss.post(
        NEW, name="团队", channel="mass", kind="text", text="好", promoter=code.lower(), level="1", bought="never",
        bought_since="2026-01-02T08:00", tag="7",
    )  # fmt: skip
    row = made(console, "团队")
    assert campaigns.audience_of(row).as_value() == {
        "promoter": "grand", "level": 1, "bought": False, "bought_since": "2026-01-02T00:00:00+00:00", "tag": 7,
    }  # fmt: skip
    html = boss.get(f"/console/tea/broadcasts/{row.id}/edit").text
    assert 'value="2026-01-02T08:00"' in html


def test_test_goes_to_the_phone_of_a_code_and_is_remembered(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/broadcasts/{world.places['campaign_id']}"
    boss.post(f"{path}/test", openid="nobody")
    assert "没有这个粉丝" in boss.said()
    boss.post(f"{path}/test", openid="parent")
    rows = select(Outbox).where(Outbox.topic == "broadcast_test")
    sent = console.merchant.database.read(lambda s: s.scalars(rows).all())
    assert [one.member_id for one in sent] == [world.member_ids["parent"]]
    assert 'value="parent"' in boss.get(path).text


def test_only_drafts_are_edited(console: Console, world: World, boss: Browser) -> None:
    path = f"/console/tea/broadcasts/{world.places['campaign_id']}"
    boss.post(f"{path}/start")
    assert boss.get(f"{path}/edit").status_code == 302
    assert "只有草稿能改" in boss.said()
    boss.post(f"{path}/edit", **ARTICLE)
    boss.post(f"{path}/start")
    assert "状态已经变了" in boss.said()


def test_progress_is_polled_until_it_is_over_and_recipients_are_exported(
    console: Console, world: World, boss: Browser
) -> None:
    number = world.places["campaign_id"]
    path = f"/console/tea/broadcasts/{number}"
    boss.post(f"{path}/start")
    console.merchant.database.transact(
        lambda s: planning.step(s, s.get_one(Campaign, number), console.now)
    )
    part = boss.client.get(f"{path}/progress", headers={"X-Fragment": "1"}).text
    assert f'data-poll="{path}/progress"' in part
    assert boss.get(f"{path}/progress").status_code == 302, "without a script it is the page"
    rows = list(
        csv.reader(
            io.StringIO(boss.get(f"{path}/recipients", format="csv").data.decode("utf-8-sig"))
        )
    )
    assert [row[2] for row in rows[1:]] == ["等待"] * 4
    assert "child" in boss.get(f"{path}/recipients", q="child").text
    assert "没有符合条件" in boss.get(f"{path}/recipients", q="nobody").text
    console.merchant.database.transact(lambda s: s.execute(update(Campaign).values(state="done")))
    part = boss.client.get(f"{path}/progress", headers={"X-Fragment": "1"}).text
    assert "data-poll" not in part
    assert "已发完" in part


def test_support_reads_and_does_not_send(console: Console, world: World) -> None:
    support = console.as_role(world.account, "support")
    path = f"/console/tea/broadcasts/{world.places['campaign_id']}"
    assert "发到我的手机" not in support.get(path).text
    assert support.get(f"{path}/edit").status_code == 403
    assert support.post("/console/tea/broadcasts/look").status_code == 403


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("一\n\n二", "<p>一</p><p>二</p>"),
        ("1 < 2 & \"三\"", "<p>1 &lt; 2 &amp; &quot;三&quot;</p>"),
        ("<h2>一</h2>", "<h2>一</h2>"),
        ("[图3]", '<p><img src="file:3.png"></p>'),
    ],
)  # fmt: skip
def test_body_is_written_as_text_and_comes_back(body: str, html: str) -> None:
    assert html_of(body, {}) == html
    assert body_of(html, {}) == body


def test_body_is_shown_without_anything_that_acts() -> None:
    html = '<p onclick="x()">一<script>alert(1)</script><img src="file:1.png" onerror="x()">'
    html += '<a href="javascript:x">链</a><b>粗'
    shown = str(shown_body(html, {"1.png": '/p?a=1&"'}))
    assert shown == '<p>一alert(1)<img src="/p?a=1&amp;&quot;" alt="">链<b>粗</b></p>'
