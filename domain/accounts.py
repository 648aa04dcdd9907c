"""公众号: official accounts, their secrets and their settings."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import audit
from domain.db import is_key, to_json
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Account, Audit, Tree
from domain.secrets import Keyring
from domain.texts import LANGUAGES

MODES: Final = ("plain", "compatible", "safe")
BIND_POLICIES: Final = ("first_touch", "protected", "last_touch")
DIGESTS: Final = ("off", "daily", "weekly")
TERMS_LENGTH: Final = 5000
CONTACT_LENGTH: Final = 100
QUALIFICATIONS: Final = ("everyone", "approved", "first_order", "spent")

PERMANENT_CODES: Final = 100_000
"""platform.md 3: WeChat makes no more for an account, and never deletes one."""

RISK_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        # How many days the questions look back, and how long a signal and its holds wait for a person.
        "window_days": 7,
        "review_days": 30,
        # Friends of one promoter who left again, in people and as a percentage of those who came.
        "churn_people": 10,
        "churn_percent": 50,
        "churn_holds": 1,
        # Friends of one promoter who came within so many seconds.
        "velocity_people": 60,
        "velocity_seconds": 60,
        "velocity_holds": 0,
        # Members whose orders share a payer, a phone or an address.
        "shared_people": 3,
        "shared_holds": 1,
        # Orders paid by somebody who earns by them, and lines of single friends who all buy.
        "self_paid_orders": 3,
        "ring_holds": 1,
        # Refunded orders of one promoter's friends, in number and as a percentage.
        "refund_orders": 5,
        "refund_percent": 50,
        "refund_holds": 0,
        # Members who withdraw under one phone number or one name.
        "identity_people": 2,
        "name_people": 4,
        "identity_holds": 0,
        # platform.md 13: people in one chain at which the merchant is told, once.
        "chain_people": 30,
    }
)
"""What risk.py looks for; an account's `risk` setting replaces single numbers, 0 switches a question off, and
`*_holds` says whether commissions wait for the review."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
RESERVED_SLUGS: Final = frozenset(
    {"accounts", "code", "login", "logout", "look", "me", "setup", "static", "tasks"}
)
"""Names that pages of the console outside an account have: `/console/<slug>/…` must not be one of them."""
_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")
_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ALPHABET: Final = string.ascii_letters + string.digits

URL_VERIFIED: Final = "url_verified"
SECRETS_REPLACED: Final = "secrets_replaced"
"""Actions of the audit log."""
VERIFIED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a merchant chooses for one account. Missing keys take these defaults; unknown ones are refused.

    bind_existing: a follower without referrer is bound by scanning later, not only by subscribing.
    bind_policy: first_touch never rebinds; protected rebinds after `protect_days`; last_touch at every scan.
    freeze_from: the event that starts the freeze period, "completed" or "paid".
    buyer_wait_days: how long an order waits for a buyer who does not follow yet.
    shortfall: what a claw-back beyond the balance does: "debt", "capped" (by debt_cap_fen) or "absorbed".
    registration_reward_fen: flat, one level, 0 is off (platform.md 13); daily cap in people, hold in days.
    commissions_stopped: nothing settles while this is set.
    qualification: who may earn (promoters.py), with `qualification_spent_fen` for "spent".
    risk: other limits than RISK_LIMITS, by name.
    alert_webhook, alert_openids: where staff hear of risk signals (jobs/alerts.py).
    withdraw_*: smallest and largest amount, how many and how much a member may ask for on one day.
    withdraw_fee_bps, withdraw_tax_bps: withheld from what is paid out, each as a posting of its own.
    audit_above_fen: larger withdrawals wait for a person, smaller ones are paid at once.
    second_above_fen: larger ones need two different people.
    chain_people_alert: a team of three levels with more people than this is named in the compliance record.
    campaign_window_days: how long after a click (or a broadcast's start) an order counts as its doing.
    permanent_pool: how many permanent codes the merchant gives out at most; WeChat allows 100,000 in an account's life.
    product_url: where a product can be bought, with `{sku}` in it; empty: the answer to a product code has no link.
    payout_method: "wechat" (商家转账) or "offline" (a person pays by bank and enters the proof).
    language: of followers who have chosen none: zh-CN, zh-TW or en.
    digest: "off" tells commissions of levels 2 and 3 like others; "daily" and "weekly" (Mondays) merge them into one
    message at `digest_hour`, Beijing's.
    quiet_from, quiet_until: Beijing's hours between which nothing is sent but withdrawals; equal means never.
    merge_seconds, merge_above: of more than so many messages of a kind within so long, the rest is merged; 0 never.
    mask_names, hide_amounts: what a member's page shows of the people in their team.
    consent_required: nobody promotes before they have agreed to `programme_terms` (empty: our wording).
    support_contact: how people reach the merchant's staff, as the pages say it.
    """

    bind_existing: bool = True
    bind_policy: str = "first_touch"
    protect_days: int = 30
    self_purchase: bool = False
    freeze_from: str = "completed"
    buyer_wait_days: int = 15
    max_total_bps: int = 3000
    shortfall: str = "debt"
    debt_cap_fen: int = 0
    registration_reward_fen: int = 0
    registration_daily_cap: int = 20
    registration_hold_days: int = 7
    commissions_stopped: bool = False
    withdraw_min_fen: int = 100
    withdraw_max_fen: int = 2_000_000
    withdraw_per_day: int = 3
    withdraw_day_sum_fen: int = 5_000_000
    withdraw_fee_bps: int = 0
    withdraw_tax_bps: int = 0
    audit_above_fen: int = 0
    second_above_fen: int = 500_000
    payout_method: str = "wechat"
    language: str = "zh-CN"
    digest: str = "off"
    digest_hour: int = 20
    quiet_from: int = 0
    quiet_until: int = 0
    merge_seconds: int = 60
    merge_above: int = 3
    chain_people_alert: int = 30
    campaign_window_days: int = 7
    linked_apps: tuple[str, ...] = field(default=())
    qualification: str = "everyone"
    qualification_spent_fen: int = 0
    alert_webhook: str = ""
    alert_openids: tuple[str, ...] = field(default=())
    risk: dict[str, int] = field(default_factory=dict)
    permanent_pool: int = PERMANENT_CODES
    product_url: str = ""
    mask_names: bool = True
    hide_amounts: bool = False
    consent_required: bool = False
    programme_terms: str = ""
    support_contact: str = ""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Settings:
        """Settings from JSON values; `Invalid` names every unknown or impossible key."""
        unknown = sorted(set(values) - {item.name for item in fields(cls)})
        if unknown:
            raise Invalid("unknown settings", keys=unknown)
        lists = {name: tuple(values.get(name, ())) for name in ("linked_apps", "alert_openids")}
        made = cls(**{**values, **lists})
        wrong = [
            name
            for name, right in (
                ("bind_policy", made.bind_policy in BIND_POLICIES),
                ("freeze_from", made.freeze_from in {"completed", "paid"}),
                ("shortfall", made.shortfall in {"debt", "capped", "absorbed"}),
                ("max_total_bps", 0 < made.max_total_bps <= 10_000),
                ("payout_method", made.payout_method in {"wechat", "offline"}),
                ("language", made.language in LANGUAGES),
                ("digest", made.digest in DIGESTS),
                ("digest_hour", made.digest_hour in range(24)),
                ("quiet_from", made.quiet_from in range(24)),
                ("quiet_until", made.quiet_until in range(24)),
                ("qualification", made.qualification in QUALIFICATIONS),
                ("alert_webhook", _is_webhook(made.alert_webhook)),
                ("permanent_pool", made.permanent_pool <= PERMANENT_CODES),
                ("product_url", _is_product_url(made.product_url)),
                ("risk", _are_limits(made.risk)),
                ("programme_terms", len(made.programme_terms) <= TERMS_LENGTH),
                ("support_contact", len(made.support_contact) <= CONTACT_LENGTH),
                ("withdraw_fee_bps", made.withdraw_fee_bps + made.withdraw_tax_bps < 10_000),
            )
            if not right
        ]
        wrong += [
            item.name
            for item in fields(cls)
            if item.type == "int"
            and (not isinstance(getattr(made, item.name), int) or getattr(made, item.name) < 0)
        ]
        if wrong:
            raise Invalid("settings out of range", keys=sorted(set(wrong)))
        return made

    def as_json(self) -> str:
        return to_json(asdict(self))

    def risk_limit(self, name: str) -> int:
        """A limit of risk.py: the account's own number, or ours."""
        return self.risk.get(name, RISK_LIMITS[name])


def _is_webhook(address: str) -> bool:
    return not address or address.startswith(("https://", "http://"))


def _is_product_url(address: str) -> bool:
    return not address or (
        address.startswith(("https://", "http://")) and "{sku}" in address and len(address) <= 500
    )


def _are_limits(limits: Mapping[str, Any]) -> bool:
    return isinstance(limits, dict) and all(
        name in RISK_LIMITS and isinstance(number, int) and number >= 0
        for name, number in limits.items()
    )


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account with its secrets open, for the doors. Never logged: its repr shows no secret."""

    id: int
    slug: str
    name: str
    app_id: str
    gh_id: str
    mode: str
    depth: int
    settings: Settings
    app_secret: str = field(repr=False)
    token: str = field(repr=False)
    aes_key: str = field(repr=False)


def add(
    session: Session,
    keyring: Keyring,
    *,
    slug: str,
    name: str,
    app_id: str,
    gh_id: str,
    app_secret: str,
    token: str,
    aes_key: str,
    mode: str,
    depth: int,
    settings: Settings | None = None,
    now: datetime,
) -> Account:
    """Open an account. `depth` has no default: 1, 2 or 3 levels are the merchant's choice, with its risk
    (platform.md 13). Raises `Invalid` for a malformed value and `Conflict` for a slug or app id in use."""
    checks = {
        "slug": _SLUG.fullmatch(slug) and slug not in RESERVED_SLUGS,
        "app_id": _APP_ID.fullmatch(app_id),
        "token": _TOKEN.fullmatch(token),
        "aes_key": _AES_KEY.fullmatch(aes_key),
        "mode": mode in MODES,
        "depth": depth in {1, 2, 3},
        "app_secret": bool(app_secret.strip()),
        "gh_id": _APP_ID.fullmatch(gh_id),
    }
    wrong = sorted(name for name, right in checks.items() if not right)
    if wrong:
        raise Invalid(f"not usable: {', '.join(wrong)}", keys=wrong)
    if session.scalar(
        select(Account.id).where((Account.slug == slug) | (Account.app_id == app_id))
    ):
        raise Conflict("an account with this slug or app id exists", slug=slug)
    account = Account(
        slug=slug, name=name, app_id=app_id, gh_id=gh_id, mode=mode, depth=depth,
        app_secret=b"", token=b"", aes_key=b"", settings=(settings or Settings()).as_json(), created_at=now,
    )  # fmt: skip
    session.add(account)
    session.flush()  # the id is part of what the seals authenticate
    for column, value in (("app_secret", app_secret), ("token", token), ("aes_key", aes_key)):
        setattr(account, column, keyring.seal(value, f"account/{account.id}/{column}"))
    session.add(Tree(account_id=account.id, version=0))
    session.flush()
    return account


def find(session: Session, slug: str) -> Account | None:
    """The account of this slug; None also for what cannot be one."""
    if not is_key(slug):
        return None
    return session.scalar(select(Account).where(Account.slug == slug))


def get(session: Session, slug: str) -> Account:
    """The account of this slug, or `NotFound`."""
    account = find(session, slug)
    if account is None:
        raise NotFound("no such account", slug=slug)
    return account


def get_by_id(session: Session, account_id: int) -> Account:
    """The account, or `NotFound`."""
    account = session.get(Account, account_id)
    if account is None:
        raise NotFound("no such account", account=account_id)
    return account


def all_of(session: Session) -> list[Account]:
    """Every account, by slug."""
    return list(session.scalars(select(Account).order_by(Account.slug)))


def settings_of(account: Account) -> Settings:
    return Settings.parse(json.loads(account.settings))


def change_settings(session: Session, account: Account, changes: dict[str, Any]) -> Settings:
    """Replace some settings; the others stay. Raises `Invalid`."""
    settings = Settings.parse({**json.loads(account.settings), **changes})
    session.execute(
        update(Account).where(Account.id == account.id).values(settings=settings.as_json())
    )
    return settings


def revise(
    session: Session,
    account_id: int,
    changes: Mapping[str, Any],
    *,
    actor: str,
    reason: str = "",
    now: datetime,
) -> dict[str, tuple[Any, Any]]:
    """Replace some settings by a person's hand: {name: (before, after)} of those that became different, which are
    noted in the audit log. Two people at once change one after the other. Raises `Invalid`, `NotFound`."""
    row = session.get(Account, account_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("no such account", account=account_id)
    before = asdict(settings_of(row))
    after = asdict(change_settings(session, row, dict(changes)))
    different = {
        name: (before[name], after[name]) for name in changes if before[name] != after[name]
    }
    if different:
        said = {"reason": reason} if reason else {}
        audit.record(
            session, account_id, actor=actor, action="settings_changed", subject=f"account/{account_id}",
            before={name: one for name, (one, _) in different.items()},
            after={name: one for name, (_, one) in different.items()} | said, now=now,
        )  # fmt: skip
    return different


def replace_secrets(
    session: Session,
    keyring: Keyring,
    account_id: int,
    *,
    app_secret: str = "",
    token: str = "",
    aes_key: str = "",
    mode: str = "",
    actor: str,
    now: datetime,
) -> list[str]:
    """Other secrets or another mode, as WeChat has them now; what is "" stays. The names of what was given, which are
    noted without their values. The callback answers by them within seconds (bot/known.py). Raises `Invalid`."""
    given = {"app_secret": app_secret.strip(), "token": token, "aes_key": aes_key, "mode": mode}
    given = {name: value for name, value in given.items() if value}
    checks = {
        "app_secret": True,
        "token": _TOKEN.fullmatch(token),
        "aes_key": _AES_KEY.fullmatch(aes_key),
        "mode": mode in MODES,
    }
    wrong = sorted(name for name in given if not checks[name])
    if wrong:
        raise Invalid(f"not usable: {', '.join(wrong)}", keys=wrong)
    row = session.get(Account, account_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("no such account", account=account_id)
    if not given:
        return []
    before = row.mode
    row.mode = mode or row.mode
    for name, value in given.items():
        if name != "mode":
            setattr(row, name, keyring.seal(value, f"account/{account_id}/{name}"))
    session.flush()
    audit.record(
        session, account_id, actor=actor, action=SECRETS_REPLACED, subject=f"account/{account_id}",
        before={"mode": before}, after={"mode": row.mode, "replaced": sorted(given)}, now=now,
    )  # fmt: skip
    return sorted(given)


def note_verified(session: Session, account_id: int, now: datetime) -> bool:
    """WeChat has asked whether the callback is ours, rightly signed: noted once a minute at most, whether it was."""
    last = verified_at(session, account_id)
    if last is not None and now - last < VERIFIED_EVERY:
        return False
    audit.record(
        session, account_id, actor="wechat", action=URL_VERIFIED, subject=f"account/{account_id}", now=now
    )  # fmt: skip
    return True


def verified_at(session: Session, account_id: int) -> datetime | None:
    """When WeChat last verified the callback's address with the token that the account has now; None when it has
    not."""
    verified = _last(session, account_id, URL_VERIFIED)
    replaced = _last(session, account_id, SECRETS_REPLACED)
    stale = verified is not None and replaced is not None and replaced > verified
    return None if stale else verified


def _last(session: Session, account_id: int, action: str) -> datetime | None:
    query = select(Audit.at).where(Audit.account_id == account_id, Audit.action == action)
    return session.scalar(query.order_by(Audit.at.desc()).limit(1))


def new_token() -> str:
    """A token for the callback: 32 letters and digits, the most that WeChat takes."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(32))


def new_aes_key() -> str:
    """An EncodingAESKey: 43 letters and digits, as the platform's own button makes them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(43))


def unseal(account: Account, keyring: Keyring) -> OpenAccount:
    """The account with its secrets decrypted; `secrets.Unreadable` when the key is another one."""
    return OpenAccount(
        id=account.id, slug=account.slug, name=account.name, app_id=account.app_id, gh_id=account.gh_id,
        mode=account.mode, depth=account.depth, settings=settings_of(account),
        app_secret=keyring.open(account.app_secret, f"account/{account.id}/app_secret"),
        token=keyring.open(account.token, f"account/{account.id}/token"),
        aes_key=keyring.open(account.aes_key, f"account/{account.id}/aes_key"),
    )  # fmt: skip
