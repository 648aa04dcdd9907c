"""Templates of an account, their backgrounds, and who is shown which."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from functools import partial

import pytest
from PIL import Image

from domain import drawing, poster_templates
from domain.designs import BUILT_IN, INVITE, PRODUCT
from domain.errors import Invalid, NotFound
from domain.models import PosterTemplate
from tests.domain.world import World


def upload() -> drawing.Upload:
    out = io.BytesIO()
    Image.new("RGB", (400, 700), (20, 90, 60)).save(out, "PNG")
    return drawing.clean_upload(out.getvalue())


def add(world: World, name: str = "春", **changes: object) -> PosterTemplate:
    design = {**BUILT_IN[INVITE], **changes}
    return world.do(
        lambda s: poster_templates.add(
            s, world.account.id, name=name, purpose=INVITE, design=design, now=world.now
        )
    )


def test_members_are_spread_over_variants_and_only_those_move_who_must() -> None:
    rows = [PosterTemplate(id=number, weight=1) for number in (1, 2, 3)]

    def chosen(among: list[PosterTemplate]) -> dict[int, int]:
        found = {member: poster_templates.choose(among, member) for member in range(3000)}
        return {member: row.id for member, row in found.items() if row is not None}

    before, after = chosen(rows), chosen(rows[:2])
    counts = Counter(before.values())
    assert all(800 < count < 1200 for count in counts.values())
    assert {member for member in before if before[member] != after[member]} == {
        member for member, template in before.items() if template == 3
    }
    assert poster_templates.choose([], 1) is None


def test_equal_weights_choose_as_the_hash_alone_did_before_there_were_weights() -> None:
    rows = [PosterTemplate(id=number, weight=7) for number in (1, 2, 3)]

    def by_hash(member: int) -> int:
        return max((1, 2, 3), key=lambda row: hashlib.sha256(f"{member}-{row}".encode()).digest())

    for member in range(3000):
        chosen = poster_templates.choose(rows, member)
        assert chosen is not None
        assert chosen.id == by_hash(member)


def test_a_heavier_template_is_shown_to_more_and_nobody_moves_but_to_it() -> None:
    light, heavy = PosterTemplate(id=1, weight=1), PosterTemplate(id=2, weight=1)

    def with_heavy() -> set[int]:
        return {m for m in range(4000) if poster_templates.choose([light, heavy], m) is heavy}

    before = with_heavy()
    heavy.weight = 3
    after = with_heavy()
    assert before < after
    assert 2850 < len(after) < 3150
    assert poster_templates.share_bps(heavy, [light, heavy]) == 7500


def test_a_weight_is_changed_within_its_range_and_account(world: World) -> None:
    row = add(world)
    assert (
        world.do(lambda s: poster_templates.weigh(s, world.account.id, row.id, 100)).weight == 100
    )
    for wrong in (0, 101):
        with pytest.raises(Invalid):
            world.do(
                partial(poster_templates.weigh, account_id=world.account.id, template_id=row.id, weight=wrong)
            )  # fmt: skip
    other = World.create(world.database, "coffee")
    with pytest.raises(NotFound):
        world.do(lambda s: poster_templates.weigh(s, other.account.id, row.id, 2))


def test_without_a_template_the_built_in_one_is_shown_and_after_it_the_merchants(
    world: World,
) -> None:
    def shown(purpose: str) -> int:
        return world.look(lambda s: poster_templates.of_member(s, world.account.id, 7, purpose)).id

    assert shown(INVITE) == poster_templates.BUILT_IN
    row = add(world)
    assert (shown(INVITE), shown(PRODUCT)) == (row.id, poster_templates.BUILT_IN)
    world.do(lambda s: poster_templates.retire(s, world.account.id, row.id, world.now))
    assert shown(INVITE) == poster_templates.BUILT_IN
    with pytest.raises(NotFound):
        world.do(lambda s: poster_templates.retire(s, world.account.id, row.id, world.now))


def test_a_background_is_kept_once_and_belongs_to_its_account(world: World) -> None:
    first, again = (
        world.do(
            lambda s: poster_templates.put_picture(s, world.account.id, upload(), world.now)
        ).id
        for _ in range(2)
    )
    assert first == again
    other = World.create(world.database, "coffee")
    with pytest.raises(NotFound):
        add(other, background={"picture": first})
    assert add(world, background={"picture": first}).id


def test_too_many_active_templates_are_refused(world: World) -> None:
    for number in range(poster_templates.MOST_ACTIVE):
        add(world, f"模板{number}")
    with pytest.raises(Invalid):
        add(world, "多出来的")


def test_a_retired_template_is_taken_up_again_while_there_is_room(world: World) -> None:
    row = add(world)
    with pytest.raises(NotFound):
        world.do(lambda s: poster_templates.activate(s, world.account.id, row.id))
    world.do(lambda s: poster_templates.retire(s, world.account.id, row.id, world.now))
    world.do(lambda s: poster_templates.activate(s, world.account.id, row.id))
    assert world.look(
        lambda s: poster_templates.of_member(s, world.account.id, 7, INVITE)
    ).id == row.id  # fmt: skip
    world.do(lambda s: poster_templates.retire(s, world.account.id, row.id, world.now))
    for number in range(poster_templates.MOST_ACTIVE):
        add(world, f"模板{number}")
    with pytest.raises(Invalid):
        world.do(lambda s: poster_templates.activate(s, world.account.id, row.id))
    other = World.create(world.database, "coffee")
    with pytest.raises(NotFound):
        world.do(lambda s: poster_templates.activate(s, other.account.id, row.id))
