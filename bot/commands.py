"""What a follower can say or tap: one table for menu keys and keywords.

A new command is a function, a line in `COMMANDS`, its words in domain/spoken.py, and its sentence `help.<…>` in
domain/texts/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy.orm import Session

from bot import inbox, saying, withdrawals
from bot.visit import Answer, Picture, Visit
from domain import (
    bindings,
    consents,
    disputes,
    events,
    explain,
    members,
    outbox,
    posters,
    products,
    promoters,
    replies,
    reports,
)
from domain.errors import Invalid
from domain.members import Summary
from domain.money import yuan
from domain.tally import Figures
from domain.texts import Words, day, language_named

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """`name` is that of domain/spoken.py, which has its words. `meets`: its own statement tells how to speak to the
    sender, so nothing is asked before it runs."""

    name: str
    run: Callable[[Visit, str], Answer]
    help_key: str = ""
    qualification: str = ""
    """Shown in the help of accounts with this qualification only."""
    meets: bool = False


def answer(visit: Visit, said: str, kind: str) -> Answer:
    """Run the command that was said or tapped, else find the merchant's own reply, else say something kind. What no
    channel could tell the follower stands below the answer of a command."""
    plain = said.strip()
    chosen = replies.choose(visit.keywords, plain, tapped=kind == events.CLICK)
    # A menu key is the merchant's; what somebody typed is theirs, and is not kept.
    visit.note(kind, chosen.command or (plain if kind == events.CLICK else ""))
    if chosen.command:
        command = _BY_NAME[chosen.command]
        if not command.meets:
            _ = visit.greeting  # asked now, because a command may need words inside its transaction
        return inbox.below(visit, command.run(visit, chosen.argument))
    return visit.words("fallback") if chosen.rule is None else saying.say(visit, chosen.rule)


# --- team and money -------------------------------------------------------------------------------------------------


def team(visit: Visit, _argument: str) -> Answer:
    """我的团队: each level and all together, with who still follows, who bought, and for how much."""
    summary = _summary(visit)
    words = visit.words
    total = summary.down_to(visit.account.depth)
    if not total.people:
        return words("team.empty")
    parts = [words("team.head", **_people(total))]
    parts += [
        words("team.level", level=words(f"level.{level}"), **_people(summary.levels[level]))
        for level in _levels(visit)
    ]
    return "\n\n".join(parts)


def earnings(visit: Visit, _argument: str) -> Answer:
    """我的收益: balance and team together, from one SELECT."""
    summary = _summary(visit)
    words = visit.words
    total, all_levels = summary.down_to(visit.account.depth), summary.total
    levels = words("list.comma").join(
        f"{words(f'level.{level}')} {summary.levels[level].people}" for level in _levels(visit)
    )
    text = words(
        "earnings",
        available=yuan(max(summary.available_fen, 0)),
        frozen=yuan(all_levels.frozen_fen),
        withdrawing=yuan(summary.withdrawing_fen),
        earned=yuan(all_levels.earned_fen),
        people=total.people,
        buyers=total.buyers,
        levels=levels,
    )
    if summary.available_fen < 0:
        text += "\n\n" + words("earnings.debt", debt=yuan(-summary.available_fen))
    if not _is_qualified(visit):
        text += "\n\n" + words("earnings.not_qualified")
    return text


def _is_qualified(visit: Visit) -> bool:
    """Whether the member may earn; asks nothing where everybody may."""
    account, openid = visit.account, visit.push.openid
    if account.settings.qualification == promoters.EVERYONE:
        return True
    return visit.read(
        lambda session: promoters.is_qualified(
            session, account.settings, members.get(session, account.id, openid)
        )
    )


def apply(visit: Visit, message: str) -> Answer:
    """申请推广: ask to become a promoter where the account approves them, else say how one becomes one."""
    words, settings, now = visit.words, visit.account.settings, visit.now

    def work(session: Session) -> str:
        join(session, visit)
        member = members.get(session, visit.account.id, visit.push.openid)
        if member.status != "active":
            return words("promoter.suspended")
        if promoters.is_qualified(session, settings, member):
            everyone = settings.qualification == promoters.EVERYONE
            return words("promoter.open" if everyone else "promoter.is_one")
        if settings.qualification == promoters.BY_FIRST_ORDER:
            return words("promoter.first_order")
        if settings.qualification == promoters.BY_SPENDING:
            return words("promoter.spent", amount=yuan(settings.qualification_spent_fen))
        waits = member.promoter == promoters.APPLIED
        promoters.apply(session, member, message=message, now=now)
        return words("promoter.waiting" if waits else "promoter.applied")

    return visit.transact(work)


def _summary(visit: Visit) -> Summary:
    account_id, openid = visit.account.id, visit.push.openid
    found = _joined(visit, lambda session: members.summary(session, account_id, openid))
    visit.meet(found.lang, found.unread)
    return found


def _joined(visit: Visit, read: Callable[[Session], T | None]) -> T:
    """What is known of the sender. Somebody who followed before we were installed joins now: who writes to us follows
    us."""
    found = visit.read(read)
    if found is None:
        visit.transact(lambda session: join(session, visit))
        found = visit.read(read)
    if found is None:
        raise LookupError("a member who has just joined is not there")
    return found


def join(session: Session, visit: Visit) -> int:
    """The id of the follower, who becomes a member if they were none."""
    push = visit.push
    known = members.ids_of(session, visit.account.id, [push.openid]).get(push.openid)
    if known is not None:
        return known
    touch = members.follow(
        session, visit.account, push.openid,
        scene_code=None, created=push.created, push_key=f"{push.key}-join", now=visit.now,
    )  # fmt: skip
    return touch.member_id


def _levels(visit: Visit) -> range:
    """The levels this account pays: the merchant's choice of depth is what the chat shows."""
    return range(1, visit.account.depth + 1)


def _people(figures: Figures) -> dict[str, object]:
    return {
        "people": figures.people,
        "following": figures.following,
        "buyers": figures.buyers,
        "spent": yuan(figures.net_spent_fen),
    }


# --- commissions one by one -----------------------------------------------------------------------------------------

HISTORY: Final = 10


def history(visit: Visit, _argument: str) -> Answer:
    """明细: the last commissions, with their state and dates."""
    rows = visit.read(
        lambda session: explain.recent(session, visit.account.id, visit.push.openid, HISTORY)
    )
    words = visit.words
    if not rows:
        return words("commissions.none")
    lines = [explain.row_text(words, number, row) for number, row in enumerate(rows, start=1)]
    head = words("commissions.head", count=len(rows))
    return "\n\n".join([head, *lines, words("commissions.foot")])


def why(visit: Visit, argument: str) -> Answer:
    """为什么 [n]: how a commission was computed; without a number the newest order of the team, even if it paid
    nothing."""
    account_id, openid, words = visit.account.id, visit.push.openid, visit.words
    if not argument:
        return visit.read(lambda session: explain.newest(session, account_id, openid, words))
    number = int(argument)
    text = visit.read(
        lambda session: explain.numbered(session, account_id, openid, number, HISTORY, words)
    )
    return text or words("why.no_such", n=number)


# --- ranking and disputes --------------------------------------------------------------------------------------------

LEADERS: Final = 5
_PERIODS: Final = {
    "": reports.WEEK, "周": reports.WEEK, "週": reports.WEEK, "week": reports.WEEK,
    "月": reports.MONTH, "month": reports.MONTH,
    "总": reports.ALL, "總": reports.ALL, "all": reports.ALL,
}  # fmt: skip


def ranking(visit: Visit, argument: str) -> Answer:
    """排行 [月|总]: the first five of both rankings, one's own place, and the change since the period before."""
    period, words = _PERIODS[argument.casefold()], visit.words
    account_id, openid, now = visit.account.id, visit.push.openid, visit.now

    def read(session: Session) -> list[str]:
        member_id = members.ids_of(session, account_id, [openid]).get(openid, 0)
        return [
            _board(
                words,
                metric,
                place,
                reports.leaders(session, account_id, metric, period, now, LEADERS),
            )
            for metric in reports.METRICS
            if (place := reports.standing(session, account_id, member_id, metric, period, now))
            is not None
        ]

    boards = visit.read(read)
    if not boards:
        return words("ranking.none")
    return "\n\n".join([words(f"ranking.{period}"), *boards, words("ranking.foot")])


def _board(
    words: Words, metric: str, place: reports.Place, leaders: Sequence[reports.Leader]
) -> str:
    def shown(value: int) -> object:
        return yuan(value) if metric == reports.EARNED else value

    lines = [words(f"ranking.{metric}")]
    lines += [
        words(
            f"ranking.row_{metric}",
            place=one.place,
            name=reports.masked(one.name),
            value=shown(one.value),
        )
        for one in leaders
    ]
    if place.place is None:
        lines.append(words("ranking.not_on_it", size=place.size))
    else:
        change = _change(words, place.change)
        lines.append(
            words(
                f"ranking.mine_{metric}",
                place=place.place,
                size=place.size,
                value=shown(place.value),
                change=change,
            )
        )
    return "\n".join(lines)


def _change(words: Words, change: int | None) -> str:
    if change is None:
        return ""
    if change == 0:
        return words("ranking.same")
    return words("ranking.up" if change > 0 else "ranking.down", n=abs(change))


def dispute(visit: Visit, argument: str) -> Answer:
    """申诉 …: object to a binding, with evidence; alone it tells how the last one stands."""
    words, account = visit.words, visit.account
    if not argument:
        return visit.read(lambda session: _dispute_state(session, visit))
    if len(argument) > disputes.BODY_LENGTH:
        return words("dispute.too_long", limit=disputes.BODY_LENGTH)

    def work(session: Session) -> disputes.Objection:
        join(session, visit)
        return disputes.open_or_add(
            session, account, visit.push.openid, argument, push_key=visit.push.key, now=visit.now
        )

    try:
        objection = visit.transact(work)
    except Invalid:
        return words("dispute.enough")
    return words("dispute.added" if objection.added else "dispute.opened")


def _dispute_state(session: Session, visit: Visit) -> str:
    words, openid = visit.words, visit.push.openid
    member_id = members.ids_of(session, visit.account.id, [openid]).get(openid, 0)
    last = disputes.latest_of(session, member_id)
    if last is None:
        return words("dispute.help")
    date = day(last.opened_at)
    if last.state == disputes.OPEN:
        return words("dispute.open", date=date)
    answer = disputes.notes_of(session, last.id)[-1].body
    return words(f"dispute.{last.state}", date=date, answer=answer)


# --- name, notices, poster ------------------------------------------------------------------------------------------


PRODUCTS: Final = 10


def nickname(visit: Visit, argument: str) -> Answer:
    """昵称 X: the name that friends and uplines see."""

    def work(session: Session) -> str:
        join(session, visit)
        return members.set_nickname(session, visit.account.id, visit.push.openid, argument)

    try:
        return visit.words("nickname.done", name=visit.transact(work))
    except Invalid:
        return visit.words("nickname.help")


def mute(visit: Visit, argument: str) -> Answer:
    """退订: no notices any more; 退订 活动: no promotions."""
    return _set_muted(visit, True, argument)


def unmute(visit: Visit, argument: str) -> Answer:
    """订阅: notices again; 订阅 活动: promotions."""
    return _set_muted(visit, False, argument)


def _set_muted(visit: Visit, muted: bool, promotions: str) -> Answer:
    change = members.set_promotions_muted if promotions else members.set_muted

    def work(session: Session) -> None:
        join(session, visit)
        change(session, visit.account.id, visit.push.openid, muted)

    visit.transact(work)
    state = "on" if muted else "off"
    return visit.words(f"mute.promotions_{state}" if promotions else f"mute.{state}")


def language(visit: Visit, argument: str) -> Answer:
    """语言 X: what is said to this follower is in X from now on; alone it tells how to change it."""
    lang = language_named(argument)
    if lang is None:
        return visit.words("language.now", language=visit.words("language.name"))

    def work(session: Session) -> None:
        join(session, visit)
        members.set_language(session, visit.account.id, visit.push.openid, lang)

    visit.transact(work)
    visit.meet(lang, visit.greeting.unread)
    return visit.words("language.done", language=visit.words("language.name"))


def poster(visit: Visit, _argument: str) -> Answer:
    """我的海报: the picture WeChat still keeps, at once; else it is being made and follows as a message."""
    return _poster(visit, None)


def product_poster(visit: Visit, argument: str) -> Answer:
    """商品海报 [货号]: the member's own poster of a product; alone it lists the products."""
    account_id, words = visit.account.id, visit.words
    if not argument:
        found = visit.read(lambda session: products.all_of(session, account_id, limit=PRODUCTS))
        if not found:
            return words("product.none")
        lines = [
            words("product.row", sku=one.sku, product=one.name, price=yuan(one.price_fen))
            for one in found
        ]
        return "\n".join([words("product.head"), *lines, words("product.foot", sku=found[0].sku)])
    if visit.read(lambda session: products.find(session, account_id, argument)) is None:
        return words("product.unknown", sku=argument)
    return _poster(visit, argument)


def _poster(visit: Visit, sku: str | None) -> Answer:
    account_id, openid, push = visit.account.id, visit.push.openid, visit.push
    if visit.account.settings.consent_required and not visit.read(lambda s: _agreed(s, visit)):
        return visit.words("poster.consent")
    ready = visit.read(
        lambda session: posters.ready_for(session, account_id, openid, visit.now, sku=sku)
    )
    if ready is not None:
        visit.journal.note(
            account_id, f"{push.key}-p", events.POSTER, openid, str(ready.template_id), push.created
        )
        return Picture(ready.media_id)

    def work(session: Session) -> bool:
        member_id = join(session, visit)
        if members.get(session, account_id, openid).status != "active":
            return False
        payload = {"openid": openid} if sku is None else {"openid": openid, "sku": sku}
        key = f"poster-{member_id}-{push.key}"
        message = outbox.Message(account_id, outbox.POSTER, key, payload, visit.now, member_id)
        outbox.put_once(session, message, visit.now)
        return True

    return visit.words("poster.coming" if visit.transact(work) else "poster.suspended")


def _agreed(session: Session, visit: Visit) -> bool:
    """Whether the follower agreed to the programme's rules; asked only where the account wants it."""
    member = members.find(session, visit.account.id, visit.push.openid)
    return member is not None and not consents.is_missing(
        session, visit.account, member.id, visit.words
    )


def invitation(visit: Visit, argument: str) -> Answer:
    """邀请码 [ABC1234]: bind to the friend who has this code; alone it tells one's own."""
    push, words, account_id = visit.push, visit.words, visit.account.id
    if not argument:
        member = _joined(visit, lambda session: members.find(session, account_id, push.openid))
        return words("invite.mine", code=member.code)

    def work(session: Session) -> members.Touch:
        return members.enter_code(
            session, visit.account, push.openid,
            code=argument, created=push.created, push_key=f"{push.key}-code", now=visit.now,
        )  # fmt: skip

    touch = visit.transact(work)
    if touch.referrer is not None:
        return words("scan.bound", referrer=touch.referrer)
    if touch.repeated:
        return words("invite.done")
    unknown = touch.refused == bindings.UNKNOWN_SCENE
    return words("invite.unknown" if unknown else f"refused.{touch.refused}")


def helping(visit: Visit, _argument: str) -> Answer:
    """帮助: every command in one line."""
    words = visit.words
    lines = [
        words(command.help_key)
        for command in COMMANDS
        if command.help_key and command.qualification in {"", visit.account.settings.qualification}
    ]
    return "\n".join([words("help.head"), *lines])


# --- the table ------------------------------------------------------------------------------------------------------

COMMANDS: Final = (
    Command("我的团队", team, "help.team", meets=True),
    Command("我的收益", earnings, "help.earnings", meets=True),
    Command("明细", history, "help.commissions"),
    Command("为什么", why, "help.why"),
    Command("提现进度", withdrawals.progress, "help.withdrawals"),
    Command("提现", withdrawals.withdraw, "help.withdraw"),
    Command("实名", withdrawals.real_name, "help.real_name"),
    Command("排行", ranking, "help.ranking"),
    Command("我的海报", poster, "help.poster"),
    Command("商品海报", product_poster, "help.product_poster"),
    Command("邀请码", invitation, "help.invitation"),
    Command("昵称", nickname, "help.nickname"),
    Command("申请推广", apply, "help.apply", qualification=promoters.BY_APPROVAL),
    Command("申诉", dispute, "help.dispute"),
    Command("退订", mute, "help.mute"),
    Command("订阅", unmute),
    Command("语言", language, "help.language"),
    Command("帮助", helping, "help.help"),
)
_BY_NAME: Final = {command.name: command for command in COMMANDS}
