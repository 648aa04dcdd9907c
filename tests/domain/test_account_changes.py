"""Settings and secrets changed by people: noted with before and after, without secrets, and never half."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import accounts
from domain.accounts import Settings
from domain.errors import Invalid, NotFound
from domain.models import Account, Audit
from tests.domain.world import KEYRING, World


def notes(world: World, action: str) -> list[Audit]:
    query = select(Audit).where(Audit.action == action).order_by(Audit.id)
    return world.look(lambda s: list(s.scalars(query)))


def revise(world: World, **changes: object) -> dict[str, tuple[object, object]]:
    return world.do(
        lambda s: accounts.revise(s, world.account.id, changes, actor="staff:li", now=world.now)
    )


def settings(world: World) -> Settings:
    return world.look(lambda s: accounts.settings_of(s.get_one(Account, world.account.id)))


def test_revision_notes_what_became_different_and_nothing_else(world: World) -> None:
    before = settings(world)
    assert revise(world, digest="daily", linked_apps=["wx1"], protect_days=before.protect_days) == {
        "digest": ("off", "daily"), "linked_apps": ((), ("wx1",)),
    }  # fmt: skip
    [note] = notes(world, "settings_changed")
    assert json.loads(note.before or "") == {"digest": "off", "linked_apps": []}
    assert json.loads(note.after or "") == {"digest": "daily", "linked_apps": ["wx1"]}
    assert revise(world, digest="daily", linked_apps=("wx1",)) == {}
    assert len(notes(world, "settings_changed")) == 1


def test_revision_that_cannot_be_changes_nothing(world: World) -> None:
    before = settings(world)
    with pytest.raises(Invalid):
        revise(world, digest="daily", max_total_bps=0)
    with pytest.raises(NotFound):
        world.do(lambda s: accounts.revise(s, 404, {"digest": "daily"}, actor="x", now=world.now))
    assert settings(world) == before
    assert notes(world, "settings_changed") == []


def test_revision_of_one_group_leaves_what_another_person_changed_meanwhile(world: World) -> None:
    """Whoever opened the page before holds old values of the other settings; they are not written back."""
    stale = settings(world)
    revise(world, withdraw_min_fen=500)
    revise(world, digest="weekly")
    found = settings(world)
    assert (stale.withdraw_min_fen, found.withdraw_min_fen, found.digest) == (100, 500, "weekly")


def test_replaced_secret_is_sealed_and_its_note_does_not_hold_it(world: World) -> None:
    def replace(session: Session) -> list[str]:
        return accounts.replace_secrets(
            session, KEYRING, world.account.id, app_secret="new-secret", token="new1", actor="staff:li",
            now=world.now,
        )  # fmt: skip

    assert world.do(replace) == ["app_secret", "token"]
    row = world.look(lambda s: s.get_one(Account, world.account.id))
    opened = accounts.unseal(row, KEYRING)
    assert (opened.app_secret, opened.token) == ("new-secret", "new1")
    assert opened.aes_key == world.account.aes_key
    [note] = notes(world, accounts.SECRETS_REPLACED)
    assert "new" not in (note.after or "").replace("replaced", "")
    with pytest.raises(Invalid):
        world.do(
            lambda s: accounts.replace_secrets(
                s, KEYRING, world.account.id, token="!", app_secret="x", actor="li", now=world.now
            )
        )
    assert world.look(lambda s: accounts.unseal(s.get_one(Account, row.id), KEYRING)) == opened


def test_verification_counts_until_the_token_is_another_one(world: World) -> None:
    def at(seconds: int) -> bool:
        now = world.now + timedelta(seconds=seconds)
        return world.do(lambda s: accounts.note_verified(s, world.account.id, now))

    def verified() -> bool:
        return world.look(lambda s: accounts.verified_at(s, world.account.id)) is not None

    assert not verified()
    assert [at(0), at(30), at(61)] == [True, False, True]
    assert len(notes(world, accounts.URL_VERIFIED)) == 2
    later = world.now + timedelta(seconds=90)
    world.do(
        lambda s: accounts.replace_secrets(
            s, KEYRING, world.account.id, token="other", actor="li", now=later
        )
    )
    assert not verified()
    assert at(120)
    assert verified()


def test_generated_token_and_key_are_what_wechat_takes() -> None:
    made = {(accounts.new_token(), accounts.new_aes_key()) for _ in range(20)}
    assert len(made) == 20
    for token, key in made:
        assert (len(token), len(key)) == (32, 43)
        assert (token + key).isalnum()
