"""`flask rule …`: what a rule pays, and what it would have paid."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import accounts, audit, dryrun, rules
from domain.rules import Terms
from web.cli import ACTOR, Instant, P, account_option, form, pair
from web.current import context


class Rates(click.ParamType[tuple[int, ...]]):
    """One to three integers, joined by commas."""

    name = "BPS,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not basis points such as 1000,500,200", param, ctx)


rule = AppGroup("rule", help="Commission rules (佣金规则).")


def terms_options(command: Callable[P, Any]) -> Callable[P, Any]:
    """The options that say what a rule pays; `terms_of` reads them."""
    for option in reversed(
        (
            click.option("--rates", required=True, type=Rates(), help="Basis points, level 1 first: 1000,500,200."),
            click.option("--pool", type=click.IntRange(0, 10_000), help="Then --rates are shares of this pool."),
            click.option(
                "--grade", "graded", multiple=True, metavar="GRADE=BPS,…[/DAYS]",
                help="Other rates, and freeze days, of a grade: gold=1200,600,300/3.",
            ),
            click.option("--cap-fen", default=0, type=click.IntRange(0), help="The most of one commission; 0: no cap."),
            click.option("--freeze-days", default=7, show_default=True, type=click.IntRange(0, 365)),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def terms_of(given: dict[str, Any]) -> dict[str, Any]:
    """What `terms_options` were given, as `rules.add` and `rules.draft` take it."""
    pool = given["pool"]
    graded, days = {}, {}
    for text in given["graded"]:
        name, rest = pair(text)
        rates, _, freeze = rest.partition("/")
        graded[name] = Terms(Rates().convert(rates, None, None), pool)
        if freeze and not freeze.isdecimal():
            raise click.UsageError(f"{text!r} is not GRADE=BPS,…/DAYS")
        if freeze:
            days[name] = int(freeze)
    return {
        "terms": Terms(given["rates"], pool), "grades": graded, "grade_freeze_days": days,
        "cap_fen": given["cap_fen"], "freeze_days": given["freeze_days"],
    }  # fmt: skip


@rule.command("add")
@account_option
@terms_options
@click.option(
    "--effective-at",
    type=Instant(),
    help="Without it: now; of a first rule: the account's opening.",
)
@form
def add_rule(slug: str, effective_at: datetime | None, **given: Any) -> dict[str, Any]:
    """Publish a rule. It is never edited: a later one supersedes it."""
    now = context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        row = accounts.get(session, slug)
        settings = accounts.settings_of(row)
        # Shops report instants in whole seconds: a rule that begins within one would miss the orders of that second.
        is_first = not rules.versions_of(session, row.id)
        since = effective_at or (row.created_at if is_first else now).replace(microsecond=0)
        made = rules.add(
            session, row.id, max_total_bps=settings.max_total_bps, depth=row.depth,
            self_purchase=settings.self_purchase, effective_at=since, actor=ACTOR, now=now, **terms_of(given),
        )  # fmt: skip
        audit.record(
            session, row.id, actor=ACTOR, action="rule_added", subject=f"rule/{made.id}",
            after=json.loads(made.definition), now=now,
        )  # fmt: skip
        return {"id": made.id, "effective_at": since, **json.loads(made.definition)}

    return context().database.transact(add)


@rule.command("list")
@account_option
@form
def list_rules(slug: str) -> dict[str, Any]:
    """Every version, newest first."""
    rows = context().database.read(
        lambda session: rules.versions_of(session, accounts.get(session, slug).id)
    )
    return {
        "rules": [
            {"id": row.id, "effective_at": row.effective_at, "actor": row.actor, **json.loads(row.definition)}
            for row in rows
        ]
    }  # fmt: skip


# --- rules: a past period -------------------------------------------------------------------------------------------

since_option = click.option(
    "--since", required=True, type=Instant(), help="Orders paid from then on."
)
until_option = click.option("--until", type=Instant(), help="Orders paid before; now without it.")


@rule.command("dry-run")
@account_option
@terms_options
@since_option
@until_option
@click.option(
    "--self-purchase/--no-self-purchase", default=None, help="As the account has it without it."
)
@click.option("--top", default=10, show_default=True, type=click.IntRange(0, 1000))
@click.option(
    "--qualification",
    type=click.Choice(accounts.QUALIFICATIONS),
    help="Who would have earned; as it was without it.",
)
@click.option("--qualification-spent-fen", "spent_fen", default=0, help="For spent.")
@form
def dry_run(
    slug: str,
    since: datetime,
    until: datetime | None,
    self_purchase: bool | None,
    top: int,
    qualification: str | None,
    spent_fen: int,
    **given: Any,
) -> dict[str, Any]:
    """What a past period would have cost under these terms, and who would gain and lose. Writes nothing."""
    end = until or context().clock.now()
    with context().database.snapshot() as session:
        row = accounts.get(session, slug)
        settings = accounts.settings_of(row)
        own = settings.self_purchase if self_purchase is None else self_purchase
        draft = rules.draft(
            max_total_bps=settings.max_total_bps, depth=row.depth, self_purchase=own, effective_at=since,
            **terms_of(given),
        )  # fmt: skip
        policy = None
        if qualification is not None:
            policy = replace(
                settings, qualification=qualification, qualification_spent_fen=spent_fen
            )
        return dryrun.run(
            session, row.id, draft, since=since, until=end, top=top, qualification=policy
        )


@rule.command("house")
@account_option
@since_option
@until_option
@form
def house(slug: str, since: datetime, until: datetime | None) -> dict[str, Any]:
    """What stayed with the merchant because no eligible earner stood at a level, by reason."""
    with context().database.snapshot() as session:
        return dryrun.house(
            session, accounts.get(session, slug).id, since, until or context().clock.now()
        )


COMMANDS: Final = (rule,)
