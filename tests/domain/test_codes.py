"""Channel and product codes, the permanent pool, and their figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from domain import (
    bindings,
    code_stats,
    codes,
    members,
    outbox,
    posters,
    products,
    scenes,
    tags,
    uploads,
)
from domain.china import day_of
from domain.code_stats import Figures
from domain.errors import Conflict, Invalid, NotFound
from domain.models import (
    Account,
    Code,
    Event,
    Member,
    MemberTag,
    Outbox,
    PermanentGrant,
    Poster,
    Scene,
)
from tests.domain.world import World


def add(world: World, name: str = "橱窗", **more: Any) -> codes.Card:
    return world.do(lambda s: codes.add(s, world.account.id, name=name, now=world.now, **more))


def product(world: World, sku: str = "TEA-1") -> None:
    world.do(
        lambda s: products.put(s, world.account, sku, name="龙井", price_fen=12800, now=world.now)
    )


def grant(world: World, scene_code: str) -> codes.Granted:
    return world.do(
        lambda s: codes.grant_permanent(
            s, world.account.id, world.account.settings, scene_code, actor="test", now=world.now
        )
    )


def ticket(world: World, scene: Scene, days: float | None) -> None:
    expires_at = None if days is None else world.now + timedelta(days=days)
    world.do(
        lambda s: scenes.record_ticket(
            s, scene, ticket="T", url=f"http://q/{days}", expires_at=expires_at, now=world.now
        )
    )


def asked(world: World) -> list[str]:
    """Keys of the rows that ask WeChat for a ticket."""
    query = select(Outbox.dedupe_key).where(Outbox.topic == outbox.CODE).order_by(Outbox.id)
    return world.look(lambda s: list(s.scalars(query)))


def figures(world: World, scene: Scene) -> Figures:
    """All days together, after a computation."""
    code_stats.refresh(world.database, world.account.id, world.now)
    since, until = day_of(world.now - timedelta(days=20)), day_of(world.now)
    return world.look(
        lambda s: code_stats.sums(
            s, world.account.id, code_stats.CODE, [scene.id], since, until
        )[scene.id]
    )  # fmt: skip


# --- codes ----------------------------------------------------------------------------------------------------------


def test_a_new_code_asks_wechat_for_its_ticket_once(world: World) -> None:
    card = add(world)
    assert asked(world) == [f"code-first-{card.scene.id}"]


def test_two_codes_of_one_name_are_refused(world: World) -> None:
    add(world)
    with pytest.raises(Conflict):
        add(world)


def test_a_product_has_a_code_for_each_place(world: World) -> None:
    product(world)
    shelf, leaflet = add(world, "货架", sku="TEA-1"), add(world, "传单", sku="TEA-1")
    assert shelf.scene.code != leaflet.scene.code
    assert {shelf.scene.sku, leaflet.scene.sku} == {"TEA-1"}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"name": " "}, Invalid), ({"name": "长" * 61}, Invalid), ({"sku": "NONE"}, NotFound),
        ({"reply": "字" * 601}, Invalid), ({"tag": "长" * 31}, Invalid), ({"media_id": "图"}, Invalid),
        ({"reply": "M", "media_id": "M"}, Invalid), ({"media": 99}, Invalid),
    ],
)  # fmt: skip
def test_an_impossible_code_is_refused_and_leaves_nothing(
    world: World, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add(world, **wrong)
    assert world.look(lambda s: s.scalar(select(func.count(Code.scene_id)))) == 0
    assert world.look(lambda s: s.scalar(select(func.count(Scene.id)))) == 0


def test_a_picture_of_a_code_is_ours_stays_and_is_renewed_until_the_code_is_archived(
    world: World,
) -> None:
    def keep(session: Session, account_id: int, kind: str, name: str, content: bytes) -> int:
        return uploads.add(
            session, account_id, kind=kind, name=name, content=content, actor="小王", now=world.now
        ).id

    ours = world.account.id
    picture = world.do(lambda s: keep(s, ours, "image", "a.png", b"\x89PNG\r\n\x1a\n1"))
    for wrong in (
        world.do(lambda s: keep(s, ours, "voice", "a.mp3", b"ID3")),
        world.do(lambda s: keep(s, ours + 1, "image", "a.png", b"\x89PNG\r\n\x1a\n1")),
    ):
        with pytest.raises(Invalid, match="no such file"):
            add(world, media=wrong)
    card = add(world, media=picture)
    assert world.look(lambda s: uploads.to_renew(s, world.now)) == [(ours, picture)]
    with pytest.raises(Conflict, match="a code answers"):
        world.do(lambda s: uploads.remove(s, ours, picture))
    world.do(lambda s: codes.archive(s, ours, card.scene.code, world.now))
    assert world.look(lambda s: uploads.to_renew(s, world.now)) == []
    with pytest.raises(
        Conflict, match="a code answers"
    ):  # it is still scanned while its ticket lives
        world.do(lambda s: uploads.remove(s, ours, picture))
    nothing: dict[str, Any] = {"reply": None, "media": None, "media_id": None, "tag": None}
    world.do(lambda s: codes.change(s, ours, card.scene.code, **nothing))
    world.do(lambda s: uploads.remove(s, ours, picture))


def test_a_code_of_another_account_is_unknown(world: World) -> None:
    other = World.create(world.database, "coffee")
    card = add(other)
    with pytest.raises(NotFound):
        world.do(lambda s: codes.get(s, world.account.id, card.scene.code))


def test_the_list_goes_page_by_page_with_the_newest_tickets(world: World) -> None:
    cards = [add(world, f"渠道{number}") for number in range(5)]
    ticket(world, cards[0].scene, 30)
    ticket(world, cards[0].scene, None)
    ticket(world, cards[0].scene, 29)
    first = world.look(lambda s: codes.page(s, world.account.id, limit=3))
    second = world.look(
        lambda s: codes.page(s, world.account.id, after_scene=first[-1].scene.id, limit=3)
    )
    assert [card.code.name for card in first + second] == [f"渠道{n}" for n in range(5)]
    assert first[0].ticket is not None
    assert first[0].ticket.expires_at is None  # the permanent one goes before later temporary ones
    world.do(lambda s: codes.archive(s, world.account.id, cards[1].scene.code, world.now))
    assert len(world.look(lambda s: codes.page(s, world.account.id))) == 4
    assert len(world.look(lambda s: codes.page(s, world.account.id, archived=True))) == 5
    named = world.look(lambda s: codes.names(s, world.account.id, limit=2, archived=True))
    assert named == [(card.scene.code, card.code.name) for card in cards[:2]]
    assert (cards[1].scene.code, "渠道1") not in world.look(
        lambda s: codes.names(s, world.account.id, limit=9)
    )


def test_a_code_is_renamed_and_keeps_its_scene(world: World) -> None:
    card = add(world, reply="旧")
    changed: dict[str, Any] = {
        "name": "大门",
        "reply": None,
        "media": None,
        "media_id": None,
        "tag": None,
    }
    world.do(lambda s: codes.change(s, world.account.id, card.scene.code, **changed))
    now = world.look(lambda s: codes.get(s, world.account.id, card.scene.code))
    assert (now.code.name, now.code.reply, now.scene.id) == ("大门", None, card.scene.id)


def test_codes_that_lead_to_a_promoter_are_found_and_not_those_of_a_longer_number(
    world: World,
) -> None:
    product(world)
    ours = [
        world.do(lambda s: scenes.of_member(s, world.account.id, 7, world.now)),
        world.do(lambda s: scenes.of_member_product(s, world.account.id, 7, "TEA-1", world.now)),
    ]
    world.do(lambda s: scenes.of_member(s, world.account.id, 71, world.now))
    world.do(lambda s: scenes.of_member_product(s, world.account.id, 71, "TEA-1", world.now))
    found = world.look(lambda s: scenes.of_promoter(s, 7))
    assert [one.id for one in found] == [one.id for one in ours]


def test_the_tag_of_a_code_is_what_its_followers_carry(world: World) -> None:
    card = add(world, tag="橱窗客人")
    world.follow("dan", code=card.scene.code)
    account_id, dan = world.account.id, world.id_of("dan")

    def look(session: Session) -> set[int]:
        tags.look_at_all(session, account_id)
        tags.mark_next(session, account_id, world.now)
        tags.look(session, account_id)
        return {one.tag_id for one in session.scalars(select(MemberTag)) if one.member_id == dan}

    world.do(lambda s: tags.follow_code(s, account_id, card.scene.code, "橱窗客人"))
    world.do(lambda s: tags.read_back(s, account_id, [(100, "橱窗客人", 0)], world.now))
    assert world.do(look) == {100}
    world.do(lambda s: tags.rename(s, account_id, 100, "门口客人"))
    assert world.look(lambda s: s.get_one(Code, card.scene.id)).tag == "门口客人"
    world.do(lambda s: tags.follow_code(s, account_id, card.scene.code, None))
    assert world.look(lambda s: s.get_one(Code, card.scene.id)).tag is None
    assert world.do(look) == set(), "nobody told WeChat yet, so it is forgotten"


def test_a_promoters_product_code_binds_like_their_own(world: World) -> None:
    product(world)
    world.people("ann")
    scene = world.do(
        lambda s: scenes.of_member_product(
            s, world.account.id, world.id_of("ann"), "TEA-1", world.now
        )
    )
    assert scene.code != world.code_of("ann")
    touch = world.follow("dan", code=scene.code)
    assert touch.referrer is not None
    assert touch.scene is not None
    said = world.look(lambda s: codes.answering(s, world.account.id, touch.scene))  # type: ignore[arg-type] # seen above
    assert said.product is not None
    assert said.product.name == "龙井"


# --- renewal --------------------------------------------------------------------------------------------------------


def renew(world: World) -> bool:
    return world.do(lambda s: codes.renew_due(s, world.now))


def test_a_code_is_renewed_before_it_lapses_and_once_a_day_at_most(world: World) -> None:
    card = add(world)
    ticket(world, card.scene, 30)
    world.later(days=24)
    renew(world)
    assert len(asked(world)) == 1
    world.later(days=1, hours=1)
    renew(world)
    renew(world)
    assert len(asked(world)) == 2
    world.later(days=1, hours=1)  # WeChat was away: asked again
    renew(world)
    assert len(asked(world)) == 3
    ticket(world, card.scene, 30)
    world.later(days=2)
    renew(world)
    assert len(asked(world)) == 3


def test_an_archived_code_a_permanent_one_and_an_unused_poster_are_not_renewed(
    world: World,
) -> None:
    archived, permanent = add(world, "旧的"), add(world, "永久")
    ticket(world, archived.scene, 30)
    ticket(world, permanent.scene, 30)
    ticket(world, permanent.scene, None)
    world.do(lambda s: codes.archive(s, world.account.id, archived.scene.code, world.now))
    world.people("ann", "bob")
    for name in ("ann", "bob"):
        scene = world.do(
            lambda s, name=name: scenes.of_member(s, world.account.id, world.id_of(name), world.now)  # type: ignore[misc]
        )
        ticket(world, scene, 30)
        facts = world.do(lambda s, name=name: posters.facts(s, world.id_of(name), world.now))  # type: ignore[misc]
        assert facts is not None
        world.do(lambda s, facts=facts: posters.keep(s, facts, "M", world.now, world.now))  # type: ignore[misc]
    bobs = update(Poster).where(Poster.member_id == world.id_of("bob"))
    world.do(lambda s: s.execute(bobs.values(asked_at=world.now - timedelta(days=10))))
    before = len(asked(world))
    world.later(days=26)
    renew(world)
    anns = world.do(
        lambda s: scenes.of_member(s, world.account.id, world.id_of("ann"), world.now).id
    )
    assert [key.split("-")[1] for key in asked(world)[before:]] == [str(anns)]


# --- the permanent pool ---------------------------------------------------------------------------------------------


def test_a_permanent_code_is_given_once_and_for_ever(world: World) -> None:
    card = add(world)
    first, again = grant(world, card.scene.code), grant(world, card.scene.code)
    assert (first.number, first.left, first.new) == (1, 99_999, True)
    assert (again.number, again.left, again.new) == (1, 99_999, False)
    assert asked(world)[-1] == f"code-permanent-{card.scene.id}"
    assert world.look(lambda s: codes.granted(s, world.account.id)) == 1


def test_an_exhausted_pool_is_a_clear_error_and_gives_nothing(world: World) -> None:
    world.change(permanent_pool=1)
    first, second = add(world, "一"), add(world, "二")
    grant(world, first.scene.code)
    with pytest.raises(codes.PoolExhausted) as refusal:
        grant(world, second.scene.code)
    assert refusal.value.code == "permanent_pool_exhausted"
    assert grant(world, first.scene.code).number == 1
    assert world.look(lambda s: s.scalar(select(func.count(PermanentGrant.number)))) == 1
    world.change(permanent_pool=2)
    assert grant(world, second.scene.code).left == 0


def test_the_pool_of_an_account_is_its_own_and_at_most_wechats(world: World) -> None:
    with pytest.raises(Invalid):
        world.change(permanent_pool=100_001)
    other = World.create(world.database, "coffee")
    card = add(other)
    with pytest.raises(NotFound):
        grant(world, card.scene.code)
    assert grant(other, card.scene.code).number == 1


def test_with_a_permanent_code_the_poster_waits_for_that_and_has_no_date(world: World) -> None:
    world.people("ann")
    ann = world.id_of("ann")
    scene = world.do(lambda s: scenes.of_member(s, world.account.id, ann, world.now))
    ticket(world, scene, 30)
    facts = world.do(lambda s: posters.facts(s, ann, world.now))
    assert facts is not None
    assert facts.expires_on is not None
    grant(world, scene.code)
    facts = world.do(lambda s: posters.facts(s, ann, world.now))
    assert facts is not None
    assert (facts.ticket_url, facts.is_permanent) == (None, True)
    ticket(world, scene, None)
    facts = world.do(lambda s: posters.facts(s, ann, world.now))
    assert facts is not None
    assert (facts.ticket_url, facts.values["expires"]) == ("http://q/None", "二维码长期有效")


# --- typed codes ----------------------------------------------------------------------------------------------------


def enter(world: World, name: str, code: str, key: str = "K1") -> members.Touch:
    return world.do(
        lambda s: members.enter_code(
            s, world.account, name,
            code=code, created=int(world.now.timestamp()), push_key=key, now=world.now,
        )
    )  # fmt: skip


def code_of(world: World, name: str) -> str:
    return world.look(lambda s: members.get(s, world.account.id, name).code)


def test_a_typed_code_binds_by_the_rules_of_a_scan(world: World) -> None:
    world.people("ann")
    world.follow("dan")
    code = code_of(world, "ann")
    assert enter(world, "dan", code.lower()).referrer == f"会员·{code}"
    assert enter(world, "dan", code).repeated
    assert enter(world, "dan", code, "K2").refused == bindings.BOUND_ALREADY
    assert enter(world, "ann", code, "K3").refused == bindings.SELF
    assert enter(world, "ann", "NOSUCH1", "K4").refused == bindings.UNKNOWN_SCENE
    assert enter(world, "ann", code_of(world, "dan"), "K5").refused == bindings.CYCLE
    suspend = update(Member).where(Member.openid == "ann").values(status="suspended")
    world.do(lambda s: s.execute(suspend))
    assert enter(world, "eve", code, "K6").refused == bindings.SUSPENDED


# --- figures --------------------------------------------------------------------------------------------------------


def test_a_code_counts_arrivals_members_leavers_buyers_and_sales(world: World) -> None:
    card = add(world)
    world.follow("dan", code=card.scene.code, key="P1")
    world.follow("dan", code=card.scene.code, key="P1")  # repeated by the platform
    world.follow("eve", code=card.scene.code)
    world.scan("eve", code=card.scene.code)
    world.people("bob")
    world.scan("bob", code=card.scene.code)  # followed before: a scan, no new member
    world.leave("eve")
    world.pay("dan", 10_000)
    world.pay("dan", 2_500)
    world.pay("bob", 900)
    expected = Figures(0, 4, 2, 2, 1, 1, 2, 12_500)
    assert figures(world, card.scene) == expected
    assert figures(world, card.scene) == expected  # computed again, nothing twice
    row = world.look(lambda s: s.get_one(Code, card.scene.id))
    assert (row.people, row.following) == (2, 1)


def test_refund_is_taken_off_the_day_of_its_order_however_late_it_comes(world: World) -> None:
    card = add(world)
    world.follow("dan", code=card.scene.code)
    order_no = world.pay("dan", 10_000)
    assert figures(world, card.scene).sales_fen == 10_000
    world.later(days=9)
    world.refund(order_no, {1: 4_000})
    assert figures(world, card.scene) == Figures(0, 1, 1, 1, 0, 1, 1, 6_000)


def test_who_leaves_on_another_day_counts_there(world: World) -> None:
    card = add(world)
    world.follow("dan", code=card.scene.code)
    first = day_of(world.now)
    figures(world, card.scene)
    world.later(days=5)
    world.leave("dan")
    figures(world, card.scene)
    rows = world.look(
        lambda s: code_stats.days_of(
            s, world.account.id, code_stats.CODE, card.scene.id, first, day_of(world.now)
        )
    )
    assert [(row.joined, row.leaves) for row in rows] == [(1, 0), (0, 1)]


def test_posters_of_a_variant_count_what_their_codes_brought(world: World) -> None:
    world.people("ann")
    scene = world.do(lambda s: scenes.of_member(s, world.account.id, world.id_of("ann"), world.now))
    ticket(world, scene, 30)
    facts = world.do(lambda s: posters.facts(s, world.id_of("ann"), world.now))
    assert facts is not None
    world.do(lambda s: posters.keep(s, facts, "M", world.now, world.now))
    world.do(
        lambda s: s.add(
            Event(account_id=world.account.id, push_key="p", kind="poster", detail="0", at=world.now)
        )
    )  # fmt: skip
    world.follow("dan", "ann")
    world.pay("dan", 5_000)
    code_stats.refresh(world.database, world.account.id, world.now)
    today = day_of(world.now)
    found = world.look(
        lambda s: code_stats.sums(s, world.account.id, code_stats.TEMPLATE, [0], today, today)
    )
    assert found[0] == Figures(1, 1, 1, 1, 0, 1, 1, 5_000)
    assert world.look(lambda s: s.scalar(select(func.count(Account.id)))) == 1
