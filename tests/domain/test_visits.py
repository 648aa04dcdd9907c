"""What the pages stand on: sessions, links that wait for a follow, consents, what is erased, and lists in pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from domain import consents, erasure, explain, members, privacy, referrals, sessions, withdrawals
from domain.db import Database
from domain.models import BindingHistory, Consent, Hold, LinkTouch, ProgrammeText, WebSession
from domain.sessions import UsedAlready
from domain.texts import Words
from tests.domain.world import KEYRING, World


@pytest.fixture
def world(database: Database) -> World:
    return World.create(database)


def begin(world: World, openid: str, nonce: str, replaces: str | None = None) -> str:
    return world.do(
        lambda s: sessions.begin(
            s, world.account.id, openid, login_nonce=nonce, replaces=replaces, now=world.now
        )
    )


def who(world: World, token: str, account_id: int | None = None) -> str | None:
    found = world.look(lambda s: sessions.find(s, account_id or world.account.id, token, world.now))
    return None if found is None else found.openid


# --- sessions -------------------------------------------------------------------------------------------------------


def test_session_is_found_by_its_token_in_its_account_until_it_expires(world: World) -> None:
    world.follow("mei")
    token = begin(world, "mei", "n1")
    visitor = world.look(lambda s: sessions.find(s, world.account.id, token, world.now))
    assert visitor is not None
    assert visitor.member is not None
    assert visitor.member.openid == "mei"
    assert who(world, token, world.account.id + 1) is None
    world.later(days=7)
    assert who(world, token) is None


def test_table_holds_nothing_to_sign_in_with(world: World) -> None:
    token = begin(world, "mei", "n1")
    row = world.look(lambda s: s.scalars(select(WebSession)).one())
    assert token not in {row.token_digest, row.login_nonce}
    assert who(world, row.token_digest) is None


def test_sign_in_begins_one_session(world: World) -> None:
    begin(world, "mei", "n1")
    with pytest.raises(UsedAlready):
        begin(world, "mei", "n1")
    assert len(world.look(lambda s: list(s.scalars(select(WebSession))))) == 1


def test_new_session_ends_the_one_before_it_in_the_same_browser(world: World) -> None:
    first, other = begin(world, "mei", "n1"), begin(world, "mei", "n2")
    second = begin(world, "mei", "n3", replaces=first)
    assert (who(world, first), who(world, other), who(world, second)) == (None, "mei", "mei")
    assert world.do(lambda s: sessions.end_all(s, world.account.id, "mei", world.now)) == 2
    assert who(world, second) is None


@pytest.mark.parametrize("token", ["", "é", "x" * 100, "a b", "\x00"])
def test_token_of_nobodys_making_finds_nobody(world: World, token: str) -> None:
    begin(world, "mei", "n1")
    assert who(world, token) is None
    assert not world.do(lambda s: sessions.end(s, world.account.id, token, world.now))


def test_sessions_that_are_over_are_forgotten(world: World) -> None:
    begin(world, "mei", "n1")
    world.later(days=3)
    begin(world, "mei", "n2")
    world.later(days=5)
    assert world.do(lambda s: sessions.prune(s, world.now)) == 1
    assert world.look(lambda s: s.scalars(select(WebSession.login_nonce)).all()) == ["n2"]


# --- links ----------------------------------------------------------------------------------------------------------


def click(world: World, name: str, whose: str, key: str = "") -> members.Touch | None:
    code = world.code_of(whose)
    world.later(seconds=1)
    push_key = key or f"link-{name}-{whose}-{world.now.timestamp():.0f}"
    return world.do(
        lambda s: members.by_link(
            s, world.account, name, scene_code=code, push_key=push_key, now=world.now
        )
    )


def reasons(world: World, name: str) -> list[str]:
    query = select(BindingHistory.reason).where(BindingHistory.member_id == world.id_of(name))
    return world.look(lambda s: list(s.scalars(query.order_by(BindingHistory.seq))))


@pytest.mark.parametrize(
    ("policy", "bound"), [("first_touch", "mei"), ("protected", "mei"), ("last_touch", "eve")]
)
def test_link_before_a_follow_by_another_code_is_the_earlier_touch(
    world: World, policy: str, bound: str
) -> None:
    world.change(bind_policy=policy)
    world.follow("mei")
    world.follow("eve")
    assert click(world, "bo", "mei") is None
    touch = world.follow("bo", "eve")
    assert world.referrer_of("bo") == bound
    assert touch.referrer is not None
    assert touch.refused is None
    assert world.look(lambda s: s.scalars(select(LinkTouch)).all()) == []
    world.check()


def test_link_before_a_follow_without_a_code_binds(world: World) -> None:
    world.change(registration_reward_fen=100)
    world.people("top", "mei")
    click(world, "bo", "mei")
    touch = world.follow("bo")
    assert touch.referrer is not None
    assert world.uplines_of("bo") == ["mei", "top"]
    assert reasons(world, "bo") == ["link"]
    assert len(world.told("mei", "friend_joined")) == 1
    assert len(world.told("mei", "registration_reward")) == 1
    world.check()


def test_first_link_waits_and_later_ones_do_not_take_its_place(world: World) -> None:
    for name in ("mei", "eve"):
        world.follow(name)
    click(world, "bo", "mei")
    click(world, "bo", "eve")
    world.follow("bo")
    assert world.referrer_of("bo") == "mei"


def test_last_link_waits_where_the_last_touch_counts(world: World) -> None:
    world.change(bind_policy="last_touch")
    for name in ("mei", "eve"):
        world.follow(name)
    click(world, "bo", "mei")
    click(world, "bo", "eve")
    world.follow("bo")
    assert world.referrer_of("bo") == "eve"


def test_link_waits_for_thirty_days(world: World) -> None:
    world.follow("mei")
    world.follow("eve")
    click(world, "bo", "mei")
    world.later(days=31)
    click(world, "bo", "eve")  # takes the place of the one that nobody waits for any more
    world.follow("bo")
    assert world.referrer_of("bo") == "eve"
    click(world, "lin", "mei")
    world.later(days=31)
    world.follow("lin")
    assert world.referrer_of("lin") is None
    assert world.do(lambda s: referrals.prune(s, world.now - referrals.WAITS)) == 1


def test_link_of_an_unknown_or_foreign_code_waits_for_nobody(world: World) -> None:
    other = World.create(world.database, "rice")
    other.follow("mei")
    code = other.code_of("mei")
    for wanted in (code, "NOSUCHCODE22", "é"):
        found = world.do(
            lambda s, wanted=wanted: referrals.remember(s, world.account, "bo", wanted, world.now)  # type: ignore[misc]
        )
        assert not found
    assert world.look(lambda s: s.scalars(select(LinkTouch)).all()) == []


def test_follower_who_left_is_bound_only_when_they_come_back(world: World) -> None:
    world.follow("mei")
    world.follow("bo")
    world.leave("bo")
    assert click(world, "bo", "mei") is None
    assert world.referrer_of("bo") is None
    world.follow("bo")
    assert world.referrer_of("bo") == "mei"


def test_same_touch_of_a_link_again_changes_nothing(world: World) -> None:
    world.follow("mei")
    world.follow("bo")
    first, again = click(world, "bo", "mei", "k"), click(world, "bo", "mei", "k")
    assert first is not None
    assert again is not None
    assert (first.repeated, again.repeated) == (False, True)
    assert reasons(world, "bo") == ["link"]
    world.check()


def test_link_of_a_promoter_who_was_suspended_meanwhile_binds_nobody(world: World) -> None:
    world.follow("mei")
    click(world, "bo", "mei")
    world.suspend("mei")
    world.follow("bo")
    assert world.referrer_of("bo") is None


# --- consents -------------------------------------------------------------------------------------------------------


def test_consent_keeps_who_agreed_to_what_and_first_when(world: World) -> None:
    world.follow("mei")
    member_id, words = world.id_of("mei"), Words()
    world.change(consent_required=True, programme_terms=" 规则一 ")
    text = consents.text_of(world.account, words)
    assert text == "规则一"

    def missing() -> bool:
        return world.look(lambda s: consents.is_missing(s, world.account, member_id, words))

    assert missing()
    first = world.do(lambda s: consents.agree(s, world.account.id, member_id, text, world.now))
    world.later(days=1)
    again = world.do(lambda s: consents.agree(s, world.account.id, member_id, text, world.now))
    assert (again.id, again.at) == (first.id, first.at)
    assert not missing()
    world.change(programme_terms="规则二")
    assert missing()
    assert len(world.look(lambda s: s.scalars(select(ProgrammeText)).all())) == 1
    assert len(world.look(lambda s: s.scalars(select(Consent)).all())) == 1


def test_account_without_terms_of_its_own_has_ours(world: World) -> None:
    assert "佣金" in consents.text_of(world.account, Words())
    world.follow("mei")
    assert not world.look(
        lambda s: consents.is_missing(s, world.account, world.id_of("mei"), Words())
    )


# --- personal data --------------------------------------------------------------------------------------------------


def test_export_and_erasure_agree_on_what_is_personal(world: World) -> None:
    world.people("mei", "bo")
    world.pay_and_settle("bo", 10_000)
    mei = world.id_of("mei")
    world.do(
        lambda s: members.set_contact(
            s, KEYRING, mei, phone="13800000000", email="a@b.cn", real_name="张三"
        )
    )
    told = world.look(lambda s: privacy.export(s, KEYRING, world.account.id, mei, world.now))
    assert told["member"][0]["phone"] == "13800000000"
    assert [one["reason"] for one in told["posting"]] == ["accrue", "settle"]
    world.do(lambda s: erasure.on_request(s, world.account, world.member("mei"), world.now))
    told = world.look(lambda s: privacy.export(s, KEYRING, world.account.id, mei, world.now))
    personal = {"phone", "email", "real_name", "nickname"}
    assert personal & set(told["member"][0]) == set()
    assert len(told["posting"]) == 2
    world.check()


def test_nothing_is_erased_while_a_withdrawal_is_open(world: World) -> None:
    world.people("mei", "bo")
    world.pay_and_settle("bo", 100_000)
    world.do(
        lambda s: withdrawals.request(
            s, world.account, members.get(s, world.account.id, "mei"), 1_000, client_token="t", now=world.now
        )
    )  # fmt: skip
    with pytest.raises(erasure.StillPaying):
        world.do(lambda s: erasure.on_request(s, world.account, world.member("mei"), world.now))


# --- lists ----------------------------------------------------------------------------------------------------------


def test_commissions_are_listed_once_by_pages_and_by_state(world: World) -> None:
    world.people("mei", "bo")
    for _ in range(5):
        world.pay("bo", 1_000)
    world.pay_and_settle("bo", 2_000)
    mei = world.id_of("mei")

    def page(before: int | None = None, status: str | None = None) -> list[explain.Entry]:
        return world.look(
            lambda s: explain.entries(s, mei, status=status, before_id=before, limit=4)
        )

    first = page()
    second = page(first[-1].commission_id)
    ids = [one.commission_id for one in first + second]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) == 6
    assert [one.amount_fen for one in page(status="settled")] == [200]
    assert {one.friend for one in first} == {world.name_of("bo")}
    assert not any(one.held for one in first)


def test_held_commission_is_listed_as_one(world: World) -> None:
    world.people("mei", "bo")
    world.pay("bo", 1_000)
    mei = world.id_of("mei")
    (entry,) = world.look(lambda s: explain.entries(s, mei))
    world.do(
        lambda s: s.add(
            Hold(
                account_id=world.account.id, commission_id=entry.commission_id, member_id=mei,
                open_key=entry.commission_id, reason="复核", actor="staff", at=world.now,
                expires_at=world.now + timedelta(days=3),
            )
        )
    )  # fmt: skip
    (entry,) = world.look(lambda s: explain.entries(s, mei))
    assert entry.held
    assert "复核" in explain.state_text(Words(), entry)


def test_team_is_listed_from_the_latest_by_pages(world: World) -> None:
    world.follow("mei")
    for number in range(5):
        world.follow(f"f{number}", "mei")
    mei = world.id_of("mei")
    first = world.look(lambda s: members.newest_downline(s, mei, 1, limit=3))
    second = world.look(
        lambda s: members.newest_downline(s, mei, 1, before_id=first[-1].id, limit=3)
    )
    assert [one.openid for one in first + second] == ["f4", "f3", "f2", "f1", "f0"]
