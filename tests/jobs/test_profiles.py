"""Profiles: the unionid of a new follower, and the orders that waited for it; the picture of who consented."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from domain import avatars, members, orders, outbox, posters, scenes
from domain.models import Member, Scene
from domain.orders import Buyer, PaidLine, PaidOrder
from jobs import outside
from jobs.drain import drain
from jobs.process import Process
from jobs.profiles import prepare
from tests.jobs.conftest import APP_ID, Shop


def ask(shop: Shop, member: members.Recipient) -> None:
    now = shop.context.clock.now()
    message = outbox.Message(
        shop.account.id, outbox.PROFILE, f"profile-{member.member_id}", {}, now, member.member_id
    )
    shop.database.transact(lambda session: outbox.put(session, [message], now))


def test_the_unionid_is_learned_and_brings_the_waiting_order(shop: Shop, process: Process) -> None:
    shop.simulator.post("/_sim/accounts", app_id=APP_ID, unionid=True)
    member = shop.follower("大明")
    (user,) = [
        each for each in shop.simulator.get("/_sim/users")["users"] if each["name"] == "大明"
    ]
    now = shop.context.clock.now()
    order = PaidOrder("E1", Buyer(unionid=user["unionid"]), (PaidLine(1, "茶", 1, 1000),), now)
    shop.database.transact(lambda session: orders.record_paid(session, shop.account, [order], now))
    before = shop.database.read(lambda session: orders.get(session, shop.account.id, "E1"))
    assert before.member_id is None
    ask(shop, member)
    drain(process, outbox.PROFILE, prepare)
    after = shop.database.read(lambda session: orders.get(session, shop.account.id, "E1"))
    known = shop.database.read(lambda session: members.get(session, shop.account.id, member.openid))
    assert known.unionid == user["unionid"]
    assert after.member_id == member.member_id


def test_an_account_without_open_platform_tells_no_unionid(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member)
    drain(process, outbox.PROFILE, prepare)
    known = shop.database.read(lambda session: members.get(session, shop.account.id, member.openid))
    assert known.unionid is None
    assert shop.rows("done")


def test_a_busy_platform_is_asked_again(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    ask(shop, member)
    shop.fault(busy_rate=1.0, paths=["/cgi-bin/user/info"])
    drain(process, outbox.PROFILE, prepare)
    assert shop.rows("pending")
    shop.fault(busy_rate=0.0)
    shop.move_clock(6)
    drain(process, outbox.PROFILE, prepare)
    assert shop.rows("done")


# --- pictures -------------------------------------------------------------------------------------------------------


def consent(shop: Shop, member: members.Recipient, address: str, key: str = "k") -> None:
    """What coming back from WeChat's page of consent writes."""
    now = shop.context.clock.now()
    shop.database.transact(
        lambda s: avatars.ask(s, s.get_one(Member, member.member_id), address, key, now)
    )


def picture_of(shop: Shop, name: str) -> str:
    """The address of a person's picture, as WeChat tells it."""
    [user] = [one for one in shop.simulator.get("/_sim/users")["users"] if one["name"] == name]
    return f"{shop.simulator.url}/_sim/avatars/{user['id']}/132"


def kept(shop: Shop, member: members.Recipient) -> bytes | None:
    return shop.database.read(lambda session: avatars.jpeg_of(session, member.member_id))


def test_picture_is_kept_small_and_makes_another_poster(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    now = shop.context.clock.now()

    def facts(session: Any) -> posters.Facts:
        scene: Scene = scenes.of_member(session, shop.account.id, member.member_id, now)
        if scenes.live_ticket(session, scene.id, now) is None:
            scenes.record_ticket(
                session, scene, ticket="T", url="http://q/1", expires_at=None, now=now
            )
        found = posters.facts(session, member.member_id, now)
        assert found is not None
        return found

    before = shop.database.transact(facts)
    consent(shop, member, picture_of(shop, "大明"))
    drain(process, outbox.PROFILE, prepare)
    jpeg = kept(shop, member)
    assert jpeg is not None
    with Image.open(io.BytesIO(jpeg)) as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (132, 132))
    after = shop.database.transact(facts)
    assert after.fingerprint != before.fingerprint
    shown = shop.database.read(lambda session: posters.picture(session, after))
    assert shown.avatar == jpeg


def test_picture_that_comes_after_the_person_left_is_not_kept_and_leaving_erases_it(
    shop: Shop, process: Process
) -> None:
    member = shop.follower("大明")

    def leave(session: Any) -> None:
        created = int(shop.context.clock.now().timestamp()) + 1
        members.leave(
            session, shop.account, member.openid, created=created, push_key="leave", now=shop.context.clock.now()
        )  # fmt: skip

    consent(shop, member, picture_of(shop, "大明"))
    drain(process, outbox.PROFILE, prepare)
    assert kept(shop, member) is not None
    consent(shop, member, picture_of(shop, "大明"), "again")
    shop.database.transact(leave)
    assert kept(shop, member) is None
    drain(process, outbox.PROFILE, prepare)
    assert kept(shop, member) is None
    assert not shop.rows("pending", "dead")


def test_what_is_no_picture_leaves_the_letter(shop: Shop, process: Process) -> None:
    member = shop.follower("大明")
    for key, path in (("a", "/_sim/users"), ("b", "/_sim/avatars/大明")):
        consent(shop, member, shop.simulator.url + path, key)
    for address in ("ftp://x/1", "", "https://x/" + "a" * 2000):
        consent(shop, member, address, "never asked")
    drain(process, outbox.PROFILE, prepare)
    assert kept(shop, member) is None
    assert {row.delivery for row in shop.rows()} == {"no_picture"}


def test_nothing_is_fetched_from_this_machine_or_at_any_length(shop: Shop) -> None:
    address = f"{shop.simulator.url}/_sim/users"
    with pytest.raises(outside.Unreachable, match="private"):
        outside.get(address, most_bytes=100_000, private=False)
    with pytest.raises(outside.Unreachable, match="too long"):
        outside.get(address, most_bytes=1, private=True)
    with pytest.raises(outside.Unreachable, match="404"):
        outside.get(f"{shop.simulator.url}/nothing", most_bytes=100, private=True)
