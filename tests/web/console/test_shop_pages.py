"""Orders, rules, grades, products and tables: tried before they count, done once, and in the audit log."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from sqlalchemy import func, select

from domain import accounts, grades, products, rules
from domain.models import (
    Audit,
    Commission,
    Grade,
    Intake,
    Member,
    Order,
    Posting,
    Product,
    Refund,
    Rule,
)
from domain.rules import Terms
from jobs.process import Process
from jobs.prune import prune_all
from jobs.tasks import work
from tests.web.console.browser import Browser, Console
from tests.web.console.world import SCRIPT, World
from web.console import rulebook


def every(console: Console, query: Any) -> list[Any]:
    return console.merchant.database.read(lambda session: list(session.scalars(query)))


def worker(console: Console) -> Process:
    """A worker of the installation: what a task waits for."""
    context = console.merchant.context
    return Process(context, context.redis)


def last_note(console: Console) -> Audit:
    note: Audit = every(console, select(Audit).order_by(Audit.id.desc()).limit(1))[0]
    return note


# --- orders ---------------------------------------------------------------------------------------------------------


def test_refund_form_sent_twice_is_one_refund(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/orders/{world.places['order_id']}"
    once = re.findall(r'name="once" value="([0-9a-f]{16})"', boss.get(path).text)[0]
    for _ in range(2):
        boss.post(f"{path}/refund", once=once, **{"line-1": "5"})
    assert every(console, select(Refund.goods_fen).where(Refund.order_no == "T-1")) == [500]
    assert every(console, select(Order.refunded_fen).where(Order.order_no == "T-1")) == [500]
    note = last_note(console)
    assert (note.actor, note.action) == ("staff:boss", "order_refunded")
    boss.post(f"{path}/refund", once=once, **{"line-1": "6"})
    assert "已用于另一笔退款" in boss.said()


def test_refund_of_shipping_that_nobody_paid_is_refused_in_words(
    console: Console, world: World, boss: Browser
) -> None:
    boss.post(f"/console/tea/orders/{world.places['order_id']}/refund", shipping="1")
    assert "超过了" in boss.said()
    assert every(console, select(Refund.id).where(Refund.order_no == "T-1")) == []


def test_order_is_completed_once_and_starts_the_freeze_period(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/orders/{world.places['order_id']}"
    assert set(every(console, select(Commission.due_at))) == {None}
    for _ in range(2):
        boss.post(f"{path}/complete")
    assert "冻结期开始" in boss.said()
    assert None not in every(console, select(Commission.due_at))
    done = select(func.count()).select_from(Audit).where(Audit.action == "order_completed")
    assert every(console, done) == [1]


def test_commissions_are_found_by_state_and_by_order(
    console: Console, world: World, boss: Browser
) -> None:
    path = "/console/tea/commissions"
    assert "¥2.99" in boss.get(path, status="frozen").text
    assert "¥2.99" not in boss.get(path, status="held").text
    boss.post(f"{path}/{world.places['commission_id']}/hold", reason="核实")
    held = boss.get(path, status="held").text
    assert held.count("/console/tea/commissions/") >= 1
    assert "待审核" in held
    assert "¥2.99" in boss.get(path, q="T-1").text
    assert "¥2.99" not in boss.get(path, q="T-2").text
    assert "¥2.99" not in boss.get(path, q="没有").text


def test_orders_are_found_by_number_and_by_buyer(boss: Browser, world: World) -> None:
    path, link = "/console/tea/orders", f"/orders/{world.places['order_id']}"
    assert link in boss.get(path, q="T-1").text
    assert link in boss.get(path, q="buyer").text
    assert link not in boss.get(path, q="nobody").text
    assert link not in boss.get(path, q="没有").text


# --- rules ----------------------------------------------------------------------------------------------------------


def newest_rule(console: Console) -> rules.RuleVersion:
    return rules.parse(every(console, select(Rule).order_by(Rule.id.desc()).limit(1))[0])


def grade(console: Console, world: World, code: str, rank: int) -> None:
    console.merchant.database.transact(
        lambda session: grades.put(
            session, world.account.id, code, name=SCRIPT, rank=rank, conditions=None, actor="t", now=console.now
        )
    )  # fmt: skip


def test_new_version_begins_as_the_one_in_force_and_says_everything_it_can(
    console: Console, world: World, boss: Browser
) -> None:
    grade(console, world, "gold", 1)
    form = {
        "do": "publish", "kind": "pool", "pool": "20", "rate-1": "50", "rate-2": "30", "rate-3": "20",
        "freeze_days": "5", "cap": "8.50", "self_purchase": "1", "grade-gold-rate-1": "60", "grade-gold-rate-2": "20",
        "grade-gold-days": "0",
    }  # fmt: skip
    boss.post("/console/tea/rules/new", **form)
    assert "已发布" in boss.said()
    made = newest_rule(console)
    assert (made.terms.rates_bps, made.terms.pool_bps) == ((5000, 3000, 2000), 2000)
    assert (made.freeze_days, made.cap_fen, made.self_purchase) == (5, 850, True)
    assert made.grades["gold"].rates_bps == (6000, 2000)
    assert made.grade_freeze_days == {"gold": 0}
    html = boss.get("/console/tea/rules/new").text
    again = {
        name: _value(html, name) for name in form if name not in {"do", "kind", "self_purchase"}
    }
    assert again == {name: form[name] for name in again}
    note = last_note(console)
    assert (note.actor, note.action) == ("staff:boss", "rule_added")
    assert note.before is not None


def _value(html: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*?value="([^"]*)"', html)
    assert found is not None, name
    return found[1]


def test_version_begins_at_its_date_and_never_in_the_past(console: Console, boss: Browser) -> None:
    form = {"do": "publish", "kind": "rates", "rate-1": "1", "freeze_days": "7"}
    late = boss.post("/console/tea/rules/new", effective="2020-01-01T00:00", **form).text
    assert "不能早于现在" in late
    assert "看不懂" in boss.post("/console/tea/rules/new", effective="morgen", **form).text
    boss.post("/console/tea/rules/new", effective="2099-01-01T08:00", **form)
    assert newest_rule(console).effective_at.isoformat() == "2099-01-01T00:00:00+00:00"
    html = boss.get("/console/tea/rules").text
    assert "将生效" in html
    assert "生效中" in html


def test_holes_between_levels_and_odd_figures_are_refused_in_words(boss: Browser) -> None:
    def said(**form: str) -> str:
        return boss.post("/console/tea/rules/new", do="publish", **form).text

    assert "从第一级开始" in said(**{"rate-2": "1", "freeze_days": "7"})
    assert "最多两位小数" in said(**{"rate-1": "1.234", "freeze_days": "7"})
    assert "0 到 365" in said(**{"rate-1": "1", "freeze_days": "x"})
    assert "不能超过 100%" in said(
        **{"kind": "pool", "pool": "10", "rate-1": "60", "rate-2": "50", "freeze_days": "7"}
    )


def test_two_versions_stand_side_by_side(boss: Browser) -> None:
    form = {"do": "publish", "kind": "rates", "rate-1": "12.5", "freeze_days": "3"}
    boss.post("/console/tea/rules/new", **form)
    html = boss.get("/console/tea/rules/compare").text
    assert "<del>10%</del>" in html
    assert "<ins>12.5%</ins>" in html
    assert boss.get("/console/tea/rules/compare", old="999999", new="1").status_code == 404


def test_dry_run_of_many_orders_is_a_task_that_may_be_left(
    console: Console, boss: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulebook, "AT_ONCE", 0)
    form = {"do": "try", "kind": "rates", "rate-1": "20", "freeze_days": "7"}
    sent = boss.post("/console/tea/rules/new", **form)
    assert "task=" in sent.location
    assert "data-poll" in boss.get(sent.location).text
    work(worker(console))
    html = boss.get(sent.location).text
    assert "什么也没有写入" in html
    assert "¥5.99" in html
    assert _value(html, "rate-1") == "20"


# --- products -------------------------------------------------------------------------------------------------------


def test_product_keeps_its_pool_and_is_not_overwritten_by_an_old_form(
    console: Console, world: World, boss: Browser
) -> None:
    form = {
        "sku": "rice", "name": "大米", "price": "88", "stock": "5", "kind": "pool", "pool": "10",
        "rate-1": "50", "rate-2": "30", "rate-3": "20",
    }  # fmt: skip
    boss.post("/console/tea/products/new", **form)
    row = every(console, select(Product).where(Product.sku == "rice"))[0]
    path = f"/console/tea/products/{row.id}"
    html = boss.get(path).text
    names = ("seen", "name", "price", "pool", "rate-1", "rate-2", "rate-3")
    opened = {name: _value(html, name) for name in names}
    before = row.terms
    console.merchant.move_clock(seconds=5)
    boss.post(f"{path}/save", kind="pool", **{**opened, "stock": "4"})
    row = every(console, select(Product).where(Product.sku == "rice"))[0]
    assert (row.stock, row.terms) == (4, before)
    stale = boss.post(f"{path}/save", kind="pool", **{**opened, "stock": "9"}).text
    assert "刚刚被别人" in stale
    assert every(console, select(Product.stock).where(Product.sku == "rice")) == [4]
    assert "已经有商品" in boss.post("/console/tea/products/new", **form).text
    assert last_note(console).action == "product_saved"


def test_terms_that_the_form_cannot_show_are_kept(
    console: Console, world: World, boss: Browser
) -> None:
    terms = Terms(
        (500,),
        None,
        (
            (
                "gone",
                Terms((900,)),
            ),
        ),
    )
    row = console.merchant.database.transact(
        lambda session: products.put(
            session,
            world.account,
            "odd",
            name="杯",
            price_fen=123_400,
            terms=terms,
            now=console.now,
        )
    )
    path = f"/console/tea/products/{row.id}"
    html = boss.get(path).text
    assert "保持现在的比例" in html
    assert _value(html, "price") == "1234.00"
    boss.post(f"{path}/save", kind="keep", name="杯子", price="2", seen=_value(html, "seen"))
    kept = every(console, select(Product).where(Product.sku == "odd"))[0]
    assert (kept.name, kept.price_fen) == ("杯子", 200)
    assert products.terms_in(kept) == terms


# --- grades, qualification, reward ----------------------------------------------------------------------------------


def test_grade_is_made_changed_and_judged(console: Console, world: World, boss: Browser) -> None:
    form = {
        "name": "金牌", "code": "jin", "rank": "2", "downgrade": "never", "match": "any",
        "team_sales_fen": "20", "invited_buyers": "3",
    }  # fmt: skip
    boss.post("/console/tea/grades/new", **form)
    assert "已保存" in boss.said()
    row = every(console, select(Grade).where(Grade.code == "jin"))[0]
    assert json.loads(row.conditions) == {
        "match": "any",
        "invited_buyers": 3,
        "team_sales_fen": 2000,
    }
    path = f"/console/tea/grades/{row.id}"
    html = boss.get(path).text
    assert (_value(html, "team_sales_fen"), _value(html, "invited_buyers")) == ("20", "3")
    assert "用了这个代号" in boss.post("/console/tea/grades/new", **form).text
    assert "用了这个级别" in boss.post("/console/tea/grades/new", **{**form, "code": "silver"}).text
    assert "大于零" in boss.post(path, **{**form, "invited_buyers": "0"}).text
    boss.post("/console/tea/grades/judge")
    work(worker(console))
    assert "看了" in boss.get("/console/tea/grades").text
    graded = select(Member.openid).where(Member.grade == "jin")
    assert "child" in every(console, graded), "their friend bought for 29.97"
    boss.post(path, name="金", rank="5", downgrade="monthly")
    changed = every(console, select(Grade).where(Grade.code == "jin"))[0]
    assert (changed.name, changed.rank, changed.downgrade, changed.conditions) == (
        "金", 5, "monthly", None,
    )  # fmt: skip


def test_reward_is_not_switched_on_before_its_warning_was_read(
    console: Console, world: World, boss: Browser
) -> None:
    def settings() -> accounts.Settings:
        return console.merchant.database.read(
            lambda session: accounts.settings_of(accounts.get(session, "tea"))
        )

    assert "微信公告" in boss.get("/console/tea/rewards").text
    form = {"reward": "1.50", "cap": "5", "hold": "7"}
    assert "先勾选" in boss.post("/console/tea/rewards/registration", **form).text
    assert settings().registration_reward_fen == 0
    boss.post("/console/tea/rewards/registration", read="1", **form)
    assert (settings().registration_reward_fen, settings().registration_daily_cap) == (150, 5)
    note = last_note(console)
    assert (note.actor, note.action) == ("staff:boss", "settings_changed")
    boss.post("/console/tea/rewards/registration", reward="", cap="5", hold="7")
    assert settings().registration_reward_fen == 0, "to switch it off nobody has to read anything"


def test_qualification_by_spending_needs_an_amount(
    console: Console, world: World, boss: Browser
) -> None:
    path = "/console/tea/rewards/qualification"
    assert "要消费多少元" in boss.post(path, qualification="spent").text
    boss.post(path, qualification="spent", spent="100")
    settings = console.merchant.database.read(
        lambda session: accounts.settings_of(accounts.get(session, "tea"))
    )
    assert (settings.qualification, settings.qualification_spent_fen) == ("spent", 10_000)
    assert "超出范围" in boss.post(path, qualification="king").text


# --- tables ---------------------------------------------------------------------------------------------------------

HEAD = "订单号,买家openid,货号,商品,数量,实付金额,运费,付款时间,完成时间\n"
TABLE = HEAD + (
    "B-1,buyer,tea,茶,1,100.00,8,2026-03-01 09:30:00,2026-03-02 10:00:00\n"
    "B-1,buyer,cup,杯,2,20,,2026-03-01 09:30:00,\n"
    "B-2,stranger,,茶,1,50,,2026/3/2 8:00:00,\n"
)


def upload(boss: Browser, path: str, part: str, files: dict[str, bytes], **form: str) -> str:
    """Send files; the page that watches what becomes of them."""
    parts = [(io.BytesIO(content), name) for name, content in files.items()]
    sent = boss.post(f"/console/tea/imports/{path}", **{part: parts}, **form)
    return str(sent.location)


def numbers(console: Console) -> set[str]:
    """The orders, but for the one without a buyer that the world begins with."""
    return set(every(console, select(Order.order_no).where(Order.order_no.not_like("L-%"))))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_table_of_orders_is_checked_without_a_trace_and_then_written_once(
    console: Console, world: World, boss: Browser, encoding: str
) -> None:
    place = upload(boss, "orders", "orders", {"三月.csv": TABLE.encode(encoding)})
    work(worker(console))
    html = boss.get(place).text
    assert "没有问题" in html
    assert "¥170.00" in html
    assert "¥20.40" in html, "10 %, 5 % and 2 % of what a known buyer paid"
    assert numbers(console) == {"T-1"}, "nothing is written by a check"
    boss.post(f"{place}/write")
    work(worker(console))
    assert numbers(console) == {"T-1", "B-1", "B-2"}
    written = every(console, select(Order).where(Order.order_no == "B-1"))[0]
    assert (written.status, written.paid_fen, written.shipping_fen, written.channel) == (
        "completed", 12_000, 800, "console",
    )  # fmt: skip
    assert (
        sum(every(console, select(Commission.amount_fen).where(Commission.order_id == written.id)))
        == 2_040
    )
    assert "全部导入" in boss.get(place).text
    boss.post(f"{place}/write")
    assert "已经导入" in boss.said()
    assert set(every(console, select(Intake.content).where(Intake.write_task_id.is_not(None)))) == {
        None
    }
    again = upload(boss, "orders", "orders", {"again.csv": TABLE.encode(encoding)})
    work(worker(console))
    assert "已有的订单" in boss.get(again).text
    assert last_note(console).action == "orders_uploaded"


def test_bad_rows_are_named_and_left_out_only_when_somebody_agrees(
    console: Console, world: World, boss: Browser
) -> None:
    table = TABLE + (
        "B-3,buyer,,茶,1,12.345,,2026-03-01 09:30:00,\n"
        "B-4,buyer,,茶,0,12,,2026-03-01 09:30:00,\n"
        "B-5,,,茶,1,12,,2026-03-01 09:30:00,\n"
        "B-6,buyer,,茶,1,12,,morgen,\n"
        "B-7,buyer,,茶,1,12,,2099-03-01 09:30:00,\n"
        "T-1,buyer,,茶,1,12,,2026-03-01 09:30:00,\n"
        "B-8,buyer,,茶,1,12,,2026-03-01 09:30:00,\n"
        "B-8,child,,杯,1,12,,2026-03-01 09:30:00,\n"
        "B-9,=HYPERLINK(1),,茶,1,12,,2026-03-01 09:30:00,\n"
    )
    place = upload(boss, "orders", "orders", {"x.csv": table.encode()})
    boss.post(f"{place}/write")
    assert "还在检查" in boss.said()
    work(worker(console))
    html = boss.get(place).text
    for words in (
        "最多两位小数", "数量不对", "缺买家", "时间看不懂", "时间在将来", "内容不同", "买家或时间不一致",
    ):  # fmt: skip
        assert words in html, words
    boss.post(f"{place}/write")
    assert "先勾选同意" in boss.said()
    boss.post(f"{place}/write", accept="1")
    work(worker(console))
    assert numbers(console) == {"T-1", "B-1", "B-2", "B-9"}
    assert every(console, select(Order.paid_fen).where(Order.order_no == "T-1")) == [2997]


def test_file_that_is_no_such_table_says_so(console: Console, world: World, boss: Browser) -> None:
    place = upload(boss, "orders", "orders", {"x.csv": b"a,b\n1,2\n"})
    work(worker(console))
    assert "缺少必要的列" in boss.get(place).text
    upload(boss, "orders", "orders", {"x.csv": b""})
    assert "非空的文件" in boss.said()


def test_another_system_is_taken_over_by_an_owner_only(
    console: Console, world: World, boss: Browser
) -> None:
    members = (
        "id,openid,nickname,parent_id,balance,phone\n1,oOld1,老王,,12.50,13800138000\n"
        "2,oOld2,小李,1,0,\n3,oOld3,丢,9,0,\n"
    )
    place = upload(boss, "takeover", "tables", {"Members.CSV": members.encode()}, source="old-shop")
    work(worker(console))
    html = boss.get(place).text
    assert "推荐人不在文件里" in html
    assert "¥12.50" in html
    sealed = every(console, select(Intake).where(Intake.kind == "takeover"))[0]
    assert b"13800138000" not in sealed.content
    assert "oOld1" not in every(console, select(Member.openid))
    operator = console.as_role(world.account, "operator")
    assert operator.get(place).status_code == 403
    assert operator.post(f"{place}/write", accept="1").status_code == 403
    boss.post(f"{place}/write", accept="1")
    work(worker(console))
    assert "老王" in every(console, select(Member.nickname))
    assert every(console, select(Posting.amount_fen).where(Posting.reason == "opening")) == [1_250]
    upload(boss, "takeover", "tables", {"secrets.csv": b"a\n1\n"}, source="old-shop")
    assert "文件名认不出来" in boss.said()
    upload(boss, "takeover", "tables", {"members.csv": b"a\n1\n"}, source="Old Shop")
    assert "来源名" in boss.said()


def test_example_table_can_be_read(console: Console, world: World, boss: Browser) -> None:
    place = upload(
        boss, "orders", "orders", {"e.csv": boss.get("/console/tea/imports/example.csv").data}
    )
    work(worker(console))
    assert "没有问题" in boss.get(place).text


def test_upload_that_nobody_wrote_is_emptied_after_a_week(
    console: Console, world: World, boss: Browser
) -> None:
    place = upload(boss, "orders", "orders", {"x.csv": TABLE.encode()})
    work(worker(console))
    prune_all(worker(console))
    assert None not in every(console, select(Intake.content))
    console.merchant.move_clock(days=8)
    prune_all(worker(console))
    assert set(every(console, select(Intake.content))) == {None}
    other = console.browser(console.person((world.account, "owner")))
    other.post(f"{place}/write")
    assert "文件已删除" in other.said()
    assert numbers(console) == {"T-1"}
