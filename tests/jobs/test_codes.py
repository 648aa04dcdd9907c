"""Tickets of codes: asked for by rows, kept, renewed in time; permanent ones."""

from __future__ import annotations

import json
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import codes, outbox, poster_templates, posters, products, scenes
from domain.designs import BUILT_IN, INVITE
from domain.models import Event, Poster, QrTicket
from jobs.codes import CHUNK, prepare, renew
from jobs.drain import drain
from jobs.process import Process
from tests.jobs.conftest import Shop
from tests.jobs.test_posters import CREATE, UPLOAD, ask, make, pictures


def add(shop: Shop, name: str = "橱窗") -> codes.Card:
    now = shop.context.clock.now()
    return shop.database.transact(
        lambda session: codes.add(session, shop.account.id, name=name, now=now)
    )


def fetch_tickets(process: Process) -> int:
    return drain(process, outbox.CODE, prepare, chunk=CHUNK)


def tickets(shop: Shop) -> list[QrTicket]:
    return shop.database.read(
        lambda session: list(session.scalars(select(QrTicket).order_by(QrTicket.id)))
    )


def test_a_new_channel_code_has_its_ticket_and_is_renewed_before_it_lapses(
    shop: Shop, process: Process
) -> None:
    card = add(shop)
    assert fetch_tickets(process) == 1
    shop.move_clock(24 * 86400)
    renew(process)
    assert fetch_tickets(process) == 0
    shop.move_clock(86400 + 3600)
    renew(process)
    assert fetch_tickets(process) == 1
    first, second = tickets(shop)
    assert first.scene_id == second.scene_id == card.scene.id
    assert first.expires_at is not None
    assert second.expires_at is not None
    assert second.expires_at - first.expires_at > timedelta(days=24)
    assert shop.database.read(lambda session: codes.page(session, shop.account.id))[0].ticket


def test_a_permanent_code_comes_once_and_without_an_end(shop: Shop, process: Process) -> None:
    card = add(shop)
    fetch_tickets(process)
    now = shop.context.clock.now()
    for _ in range(2):
        shop.database.transact(
            lambda session: codes.grant_permanent(
                session, shop.account.id, shop.account.settings, card.scene.code, actor="t", now=now
            )
        )
    assert fetch_tickets(process) == 1
    assert [ticket.expires_at is None for ticket in tickets(shop)] == [False, True]
    shop.move_clock(60 * 86400)
    renew(process)
    assert fetch_tickets(process) == 0


def test_a_lost_answer_is_asked_for_again(shop: Shop, process: Process) -> None:
    add(shop)
    shop.fault(drop_answer_rate=1.0, paths=[CREATE])
    fetch_tickets(process)
    assert [row.state for row in shop.rows()] == ["pending"]
    shop.fault(drop_answer_rate=0.0)
    shop.move_clock(10)
    fetch_tickets(process)
    assert len(tickets(shop)) == 1


def test_the_clock_and_a_worker_bring_the_ticket(shop: Shop) -> None:
    add(shop)
    shop.start_worker("bulk")
    shop.start_clock()
    shop.wait_for(lambda: tickets(shop))


def test_a_chosen_promoters_poster_carries_the_permanent_code(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    now = shop.context.clock.now()

    def give(session: Session) -> None:
        scene = scenes.of_member(session, shop.account.id, member.member_id, now)
        codes.grant_permanent(
            session, shop.account.id, shop.account.settings, scene.code, actor="t", now=now
        )  # fmt: skip

    shop.database.transact(give)
    ask(shop, member, "P1")
    make(process)
    fetch_tickets(process)  # the grant's own row finds that the poster was faster
    assert [ticket.expires_at for ticket in tickets(shop)] == [None]
    assert len(pictures(shop, member)) == 1


def test_two_wishes_at_once_draw_one_picture(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    ask(shop, member, "P2")
    make(process)
    assert len(pictures(shop, member)) == 2
    assert len(shop.calls(UPLOAD)) == len(shop.calls(CREATE)) == 1


def test_a_product_poster_has_a_code_and_a_picture_of_its_own(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    now = shop.context.clock.now()
    shop.database.transact(
        lambda session: products.put(
            session, shop.account, "TEA-1", name="龙井", price_fen=12800, now=now
        )
    )
    wish = outbox.Message(shop.account.id, outbox.POSTER, "P1", {"sku": "TEA-1"}, now, member.member_id)  # fmt: skip
    shop.database.transact(lambda session: outbox.put(session, [wish], now))
    ask(shop, member, "P2")
    make(process)
    assert len(pictures(shop, member)) == 2
    assert len({ticket.scene_id for ticket in tickets(shop)}) == 2
    ready = shop.database.read(
        lambda session: posters.ready_for(session, shop.account.id, member.openid, now, sku="TEA-1")
    )
    assert ready is not None


def test_members_keep_their_variant_and_each_sending_counts_once(
    shop: Shop, process: Process
) -> None:
    people = [shop.follower(f"会员{number}") for number in range(8)]
    now = shop.context.clock.now()
    for name in ("甲", "乙"):
        design = json.loads(json.dumps(BUILT_IN[INVITE]))
        design["items"][2]["text"] = name
        shop.database.transact(
            lambda session, name=name, design=design: poster_templates.add(  # type: ignore[misc]
                session, shop.account.id, name=name, purpose=INVITE, design=design, now=now
            )
        )
    for number, member in enumerate(people):
        ask(shop, member, f"P{number}")
    make(process)
    shown = shop.database.read(
        lambda session: dict(session.execute(select(Poster.member_id, Poster.template_id)).all())
    )
    rows = shop.database.read(
        lambda session: {
            template.id: template
            for template in poster_templates.active(session, shop.account.id, INVITE)
        }
    )
    for member in people:
        chosen = poster_templates.choose(list(rows.values()), member.member_id)
        assert chosen is not None
        assert shown[member.member_id] == chosen.id
    sent = shop.database.read(
        lambda session: session.scalars(select(Event.detail).where(Event.kind == "poster")).all()
    )
    assert sorted(map(int, filter(None, sent))) == sorted(shown.values())


def test_a_gone_template_or_name_makes_the_poster_anew(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member, "P1")
    make(process)
    now = shop.context.clock.now()
    shop.database.transact(
        lambda session: poster_templates.add(
            session, shop.account.id, name="新的", purpose=INVITE, design=BUILT_IN[INVITE], now=now
        )
    )
    assert (
        shop.database.read(
            lambda session: posters.ready_for(session, shop.account.id, member.openid, now)
        )
        is None
    )
    ask(shop, member, "P2")
    make(process)
    assert len(shop.calls(UPLOAD)) == 2
