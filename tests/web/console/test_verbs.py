"""What staff do with members and commissions: done once, with a reason, in the audit log under their name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from domain import members
from domain.models import Audit, Commission, Hold, Member
from tests.web.console.browser import Browser, Console
from tests.web.console.world import World


def member_named(console: Console, world: World, openid: str) -> Member:
    return console.merchant.database.read(
        lambda session: members.get(session, world.account.id, openid)
    )


def last_note(console: Console) -> Audit:
    query = select(Audit).order_by(Audit.id.desc()).limit(1)
    return console.merchant.database.read(lambda session: session.scalars(query).one())


def of_member(world: World, openid: str, verb: str = "") -> str:
    return f"/console/tea/members/{world.member_ids[openid]}{verb}"


def test_rebinding_needs_a_reason_and_notes_who_did_it(
    console: Console, world: World, boss: Browser
) -> None:
    grand = member_named(console, world, "grand")
    path = of_member(world, "buyer", "/rebind")
    boss.post(path, referrer=grand.code)
    assert "请写明原因" in boss.said()
    boss.post(path, referrer="NOBODY", reason="误绑")
    assert "没有这个邀请码" in boss.said()
    boss.post(path, referrer=grand.code.lower(), reason="误绑")
    assert "推荐人已修改" in boss.said()
    assert member_named(console, world, "buyer").referrer_id == grand.id
    note = last_note(console)
    assert (note.actor, note.action) == ("staff:boss", "rebound")
    assert "误绑" in boss.get(of_member(world, "buyer", "/history")).text
    assert "误绑" in boss.get(f"/console/tea/changes/{note.id}").text


def test_cycle_is_refused_in_words(console: Console, world: World, boss: Browser) -> None:
    buyer = member_named(console, world, "buyer")
    boss.post(of_member(world, "grand", "/rebind"), referrer=buyer.code, reason="试试")
    assert "会形成循环" in boss.said()
    assert member_named(console, world, "grand").referrer_id is None


def test_member_is_suspended_and_reinstated(console: Console, world: World, boss: Browser) -> None:
    boss.post(of_member(world, "child", "/suspend"), reason="刷单")
    assert member_named(console, world, "child").status == "suspended"
    assert last_note(console).actor == "staff:boss"
    boss.post(of_member(world, "child", "/reinstate"))
    assert member_named(console, world, "child").status == "active"


def test_referrer_is_cleared(console: Console, world: World, boss: Browser) -> None:
    boss.post(of_member(world, "child", "/clear"), reason="申诉成立")
    assert member_named(console, world, "child").referrer_id is None


def test_held_commission_is_released_or_voided_once(
    console: Console, world: World, boss: Browser
) -> None:
    path = f"/console/tea/commissions/{world.places['commission_id']}"

    def status() -> str:
        query = select(Commission.status).where(Commission.id == world.places["commission_id"])
        return str(console.merchant.database.read(lambda session: session.scalar(query)))

    boss.post(f"{path}/hold", reason="核实收货人")
    assert "核实收货人" in boss.get(path).text
    boss.post(f"{path}/release", reason="没问题")
    assert status() == "frozen"
    boss.post(f"{path}/refuse", reason="太迟了")
    assert "没有在审核" in boss.said()
    boss.post(f"{path}/hold", reason="再看看")
    boss.post(f"{path}/refuse", reason="自买自卖")
    assert status() == "voided"
    holds: Any = console.merchant.database.read(
        lambda session: session.scalars(select(Hold.released_by)).all()
    )
    assert holds == ["staff:boss", "staff:boss"]


def test_phone_is_shown_in_clear_to_those_who_may(console: Console, world: World) -> None:
    keyring, child = console.merchant.context.keyring, world.member_ids["child"]
    console.merchant.database.transact(
        lambda session: members.set_contact(session, keyring, child, phone="13800138000")
    )
    for role, sees in (("owner", True), ("finance", True), ("operator", False), ("support", False)):
        html = console.as_role(world.account, role).get(of_member(world, "child")).text
        assert ("13800138000" in html) is sees, role


def test_branch_of_the_team_is_a_part_of_a_page(world: World, boss: Browser) -> None:
    path = of_member(world, "grand", "/team")
    whole = boss.get(path).text
    part = boss.client.get(path, headers={"X-Fragment": "1"}).text
    assert "<html" in whole
    assert "<html" not in part
    assert f"members/{world.member_ids['parent']}/team" in part


def test_last_owner_stays(console: Console, world: World, boss: Browser) -> None:
    people = boss.get("/console/tea/staff").text
    me = people.split("/dismiss")[0].rsplit("/staff/", 1)[1]
    boss.post(f"/console/tea/staff/{me}/dismiss")
    assert "至少要留一位所有者" in boss.said()
    boss.post(f"/console/tea/staff/{me}/role", role="support")
    assert "至少要留一位所有者" in boss.said()
    boss.post("/console/tea/staff", login="second", password="a long password", role="owner")
    assert "second" in boss.get("/console/tea/staff").text
    boss.post(f"/console/tea/staff/{me}/role", role="support")
    assert boss.get("/console/tea/staff").status_code == 403
