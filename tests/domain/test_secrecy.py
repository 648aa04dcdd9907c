"""What lies in the database is of no use to who steals it."""

from __future__ import annotations

import pickle
from functools import partial

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from domain import accounts, members, staff
from domain.db import Database, Sql
from domain.errors import Conflict, Invalid
from domain.models import Account
from domain.secrets import (
    Keyring,
    Unreadable,
    check_password,
    hash_password,
    random_code,
    short_digest,
)
from tests.domain.world import KEYRING, START, World, open_account

SECRETS = ("app secret of tea", "token4tea", "k" * 43)
PERSONAL = ("13800138000", "Dan@example.com", "王丹")


@pytest.fixture
def dan(world: World) -> World:
    """dan has told a phone number, an address and a name."""
    world.follow("dan")
    phone, email, real_name = PERSONAL
    world.do(
        lambda s: members.set_contact(
            s, KEYRING, world.id_of("dan"), phone=phone, email=email, real_name=real_name
        )
    )
    return world


def everything(world: World, table: str) -> bytes:
    """Every column of every row, as the driver returns it."""
    rows = world.look(lambda s: s.connection().exec_driver_sql(f"SELECT * FROM {table}").all())
    return b"|".join(
        value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
    )


def test_secrets_of_an_account_are_ciphertext_in_its_row(world: World) -> None:
    stored = everything(world, "account")
    assert world.account.app_id.encode() in stored
    for secret in SECRETS:
        assert secret.encode() not in stored


def test_personal_data_is_ciphertext_in_the_row_of_a_member(dan: World) -> None:
    stored = everything(dan, "member")
    assert b"dan" in stored
    for value in PERSONAL:
        assert value.encode() not in stored
        assert value.lower().encode() not in stored


def test_account_opens_with_its_key_and_with_no_other(world: World) -> None:
    account = world.look(lambda s: s.scalars(select(Account)).one())
    opened = accounts.unseal(account, KEYRING)
    assert (opened.app_secret, opened.token, opened.aes_key) == SECRETS
    with pytest.raises(Unreadable):
        accounts.unseal(account, Keyring(bytes(32)))


def test_ciphertext_moved_to_another_row_or_column_does_not_open(world: World) -> None:
    open_account(world.database, "coffee")
    one, two = world.look(lambda s: s.scalars(select(Account).order_by(Account.id)).all())
    with pytest.raises(Unreadable):
        KEYRING.open(one.app_secret, f"account/{two.id}/app_secret")
    with pytest.raises(Unreadable):
        KEYRING.open(one.app_secret, f"account/{one.id}/token")
    two.app_secret = one.app_secret
    with pytest.raises(Unreadable):
        accounts.unseal(two, KEYRING)


def test_changed_ciphertext_does_not_open() -> None:
    sealed = KEYRING.seal("secret", "here")
    for place in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        with pytest.raises(Unreadable):
            KEYRING.open(bytes(damaged), "here")


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x01" + bytes(12), b"plain text"])
def test_what_is_no_ciphertext_does_not_open(damaged: bytes) -> None:
    with pytest.raises(Unreadable):
        KEYRING.open(damaged, "here")


def test_equal_values_have_different_ciphertexts_and_equal_indexes(dan: World) -> None:
    dan.follow("eve")
    dan.do(lambda s: members.set_contact(s, KEYRING, dan.id_of("eve"), phone=PERSONAL[0]))
    one, two = dan.member("dan"), dan.member("eve")
    assert one.phone != two.phone
    assert one.phone_index == two.phone_index
    found = dan.look(lambda s: members.find_by_phone(s, KEYRING, dan.account.id, PERSONAL[0]))
    assert {member.openid for member in found} == {"dan", "eve"}
    assert (
        dan.look(lambda s: members.find_by_phone(s, KEYRING, dan.account.id, "13800138001")) == []
    )


def test_blind_indexes_of_two_columns_and_two_keys_differ() -> None:
    value = PERSONAL[0]
    indexes = {
        KEYRING.blind_index(value, "phone"),
        KEYRING.blind_index(value, "email"),
        Keyring(bytes(32)).blind_index(value, "phone"),
    }
    assert len(indexes) == 3


def test_contact_data_opens_at_its_own_place(dan: World) -> None:
    member = dan.member("dan")
    assert member.phone is not None
    assert KEYRING.open(member.phone, f"member/{member.id}/phone") == PERSONAL[0]


@pytest.mark.parametrize(
    "wrong", [{"phone": "call me"}, {"phone": "1" * 30}, {"email": "nowhere"}, {"email": "a@b c"}]
)
def test_what_cannot_be_contact_data_is_refused(dan: World, wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        dan.do(lambda s: members.set_contact(s, KEYRING, dan.id_of("dan"), **wrong))


def test_open_account_shows_no_secret(world: World) -> None:
    shown = repr(world.account) + str(world.account) + repr(world)
    for secret in SECRETS:
        assert secret not in shown


def test_keyring_shows_no_key() -> None:
    assert bytes(range(32)).hex() not in repr(KEYRING)
    assert repr(bytes(range(8)))[2:-1] not in repr(KEYRING)
    with pytest.raises(TypeError):
        pickle.dumps(KEYRING)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keyring(bytes(length))


def test_codes_have_no_letters_that_are_mistaken() -> None:
    made = [random_code(12) for _ in range(200)]
    assert len(set(made)) == 200
    assert not set("".join(made)) & set("01OI")


def test_short_digest_is_a_key_for_any_text() -> None:
    assert short_digest("订单") == short_digest("订单") != short_digest("订単")
    assert len(short_digest("x" * 5000)) == 32


def test_passwords_are_checked_and_a_damaged_hash_is_no() -> None:
    hashed = hash_password("correct horse")
    assert "correct" not in hashed
    assert check_password("correct horse", hashed)
    assert not check_password("wrong horse", hashed)
    assert not check_password("correct horse", "damaged")


# --- accounts -------------------------------------------------------------------------------------------------------


def test_slug_or_app_id_in_use_is_a_conflict(world: World) -> None:
    with pytest.raises(Conflict):
        open_account(world.database, "tea")


@pytest.mark.parametrize(
    "settings",
    [
        {"bind_policy": "best_touch"},
        {"freeze_from": "delivered"},
        {"shortfall": "ignored"},
        {"max_total_bps": 0},
        {"max_total_bps": 10_001},
        {"protect_days": -1},
        {"debt_cap_fen": "5"},
        {"no_such_setting": 1},
    ],
)
def test_impossible_settings_are_refused_by_name(world: World, settings: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        world.change(**settings)
    assert refused.value.details["keys"] == list(settings)


def test_changed_settings_keep_the_others(world: World) -> None:
    world.change(protect_days=5, linked_apps=["wx-mini"])
    world.change(bind_policy="protected")
    kept = world.account.settings
    assert (kept.protect_days, kept.linked_apps, kept.bind_policy) == (5, ("wx-mini",), "protected")


# --- names people choose --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("小丹", "小丹"),
        ("  a \n b\t ", "a b"),
        ("🌳" * 30, "🌳" * 20),
        ("e\u202egpj.exe", "egpj.exe"),  # a direction override turns the rest around
        ("a\u200bb\x00c", "abc"),
    ],
)
def test_nickname_can_be_shown_anywhere(world: World, typed: str, shown: str) -> None:
    world.follow("dan")
    assert world.do(lambda s: members.set_nickname(s, world.account.id, "dan", typed)) == shown
    assert world.name_of("dan") == shown


@pytest.mark.parametrize("typed", ["", "  ", "\u200b\u202e", "\n"])
def test_nickname_of_nothing_visible_is_refused(world: World, typed: str) -> None:
    world.follow("dan")
    with pytest.raises(Invalid):
        world.do(lambda s: members.set_nickname(s, world.account.id, "dan", typed))


def test_an_error_of_the_database_names_nobody(dan: World) -> None:
    """It goes to the log."""
    for statement in (
        lambda s: s.execute(text("INSERT INTO member (nickname) VALUES (:n)"), {"n": "小丹"}),
        lambda s: Sql("INSERT INTO member (nickname) VALUES (?)")(s, "小丹"),
    ):
        with pytest.raises(DBAPIError) as failure:
            dan.do(statement)
        assert "INSERT INTO member" in str(failure.value)
        assert "小丹" not in str(failure.value)


def test_a_login_is_let_in_by_its_own_spelling_alone(database: Database) -> None:
    """MariaDB takes "ánna" for "anna", but guesses at either are counted by themselves."""
    database.transact(lambda s: staff.add(s, login="anna", password="a long password", now=START))
    for login, right in (
        ("anna", True),
        (" Anna ", database.engine.name != "sqlite"),
        ("ánna", False),
    ):
        found = database.read(partial(staff.check, login=login, password="a long password"))
        assert (found is not None) is right, login
