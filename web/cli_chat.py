"""`flask menu`, `reply`, `media`, `followers`, `tag`, `blacklist`, and `member export`: what a merchant's chat is made
of, from a shell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import IO, Any, Final, TypeVar

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from domain import (
    accounts,
    audit,
    bodies,
    followers,
    members,
    menus,
    privacy,
    replies,
    tags,
    texts,
    uploads,
    wordings,
)
from domain.accounts import OpenAccount
from domain.bodies import Body, MediaBody, TextBody
from domain.errors import Invalid
from domain.texts import Words, overrides_of
from web import materials
from web import menus as platform_menus
from web import tags as people_tags
from web.cli import ACTOR, account_of, account_option, form
from web.cli_tree import member
from web.current import context
from wechat import conditional
from wechat import followers as platform_followers

T = TypeVar("T")
LANG: Final = click.Choice(tuple(texts.LANGUAGES))

menu = AppGroup("menu", help="The account's menu in WeChat (菜单).")


def _opened(slug: str) -> OpenAccount:
    return context().database.read(lambda session: account_of(session, slug))


@menu.command("show")
@account_option
@click.option("--version", type=int, help="Without it: the version saved last.")
@form
def show_menu(slug: str, version: int | None) -> dict[str, Any]:
    """A version of the menu, with what is wrong with it; and who saved and pushed which one."""

    def read(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        row = (
            menus.get(session, account_id, version)
            if version
            else menus.newest(session, account_id)
        )
        shown = platform_menus.menu_of(context(), account_of(session, slug), row)
        found = platform_menus.problems(session, account_id, shown)
        return {
            "version": row.version if row else 0,
            "menu": shown.as_value(),
            "problems": [str(each) for each in found],
            "history": [
                {
                    "version": each.version, "actor": each.actor, "note": each.note, "created_at": each.created_at,
                    "pushed_by": each.pushed_by, "pushed_at": each.pushed_at,
                }
                for each in menus.history(session, account_id)
            ],
        }  # fmt: skip

    return context().database.read(read)


@menu.command("save")
@account_option
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--note", default="", help="Why, for the history.")
@form
def save_menu(slug: str, file: IO[str], note: str) -> dict[str, Any]:
    """Save the next version from FILE (- is standard input): {"buttons": […], "conditional": […]}."""
    try:
        document = json.load(file)
    except ValueError as error:
        raise Invalid("not JSON", reason=str(error)) from error
    wanted, now = menus.parse(document), context().clock.now()

    def save(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        before = menus.newest(session, account_id)
        row = menus.save(
            session, account_id, wanted, after=before.version if before else 0, actor=ACTOR, now=now, note=note
        )  # fmt: skip
        found = platform_menus.problems(session, account_id, wanted)
        return {"version": row.version, "problems": [str(each) for each in found]}

    return context().database.transact(save)


@menu.command("push")
@account_option
@click.option("--version", type=int, help="Without it: the version saved last, or the usual menu.")
@form
def push_menu(slug: str, version: int | None) -> dict[str, Any]:
    """Give WeChat the menu, conditional ones too; phones show it within five minutes."""
    opened = _opened(slug)
    done = platform_menus.push(context(), opened, actor=ACTOR, version=version)
    row = context().database.read(lambda session: menus.get(session, opened.id, done.version))
    value = menus.menu_of(row).as_value()
    return {
        "account": slug,
        "menu": value["buttons"],
        "conditional": value["conditional"],
        **asdict(done),
    }


@menu.command("fetch")
@account_option
@form
def fetch_menu(slug: str) -> dict[str, Any]:
    """The menu that WeChat has."""
    opened = _opened(slug)
    newest = context().database.read(lambda s: menus.newest(s, opened.id))
    ours = platform_menus.menu_of(context(), opened, newest)
    return platform_menus.fetch(context().platform(opened), ours).as_value()


@menu.command("diff")
@account_option
@form
def diff_menu(slug: str) -> dict[str, Any]:
    """What differs between the version saved last and WeChat; exit 1 when something does."""
    opened = _opened(slug)
    found = platform_menus.compare(context(), opened)
    words = Words(context().database.read(lambda session: overrides_of(session, opened.id)))
    return {
        "ok": not found,
        "differences": [{**asdict(each), "text": each.text(words)} for each in found],
    }


@menu.command("delete")
@account_option
@form
def delete_menu(slug: str) -> dict[str, Any]:
    """Take the menu away, every conditional one too."""
    return asdict(platform_menus.delete(context(), _opened(slug), actor=ACTOR))


@menu.command("try")
@account_option
@click.argument("openid")
@form
def try_menu(slug: str, openid: str) -> dict[str, Any]:
    """The buttons that one follower sees."""
    client = context().platform(_opened(slug))
    return {"openid": openid, "buttons": list(conditional.menu_seen_by(client, openid))}


@menu.command("taps")
@account_option
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True)
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True)
@form
def menu_taps(slug: str, first: datetime, last: datetime) -> dict[str, Any]:
    """Taps of each key on each Beijing day, at most 31 days."""
    days: tuple[date, date] = (first.date(), last.date())
    found = context().database.read(
        lambda session: menus.taps(session, accounts.get(session, slug).id, *days)
    )
    return {"taps": [{**asdict(each), "day": each.day.isoformat()} for each in found]}


# --- replies --------------------------------------------------------------------------------------------------------

reply = AppGroup("reply", help="What is answered by itself (自动回复).")


@reply.command("add")
@account_option
@click.option(
    "--kind", type=click.Choice(replies.KINDS), default=replies.KEYWORD, show_default=True
)
@click.option("--keyword", default="", help="The word, the pattern, or the menu key.")
@click.option(
    "--matching", type=click.Choice(replies.MATCHINGS), default=replies.EXACT, show_default=True
)
@click.option(
    "--text", "texts", multiple=True, help="A message; several are said one after the other."
)
@click.option(
    "--media", multiple=True, type=int, help="A file of `flask media add`, after the texts."
)
@click.option(
    "--messages", type=click.File("r", encoding="utf-8"), help="Messages as JSON instead."
)
@click.option(
    "--text-in",
    "texts_in",
    multiple=True,
    type=(LANG, str),
    help="As --text, for who reads this language.",
)
@click.option("--media-in", multiple=True, type=(LANG, int), help="As --media, likewise.")
@click.option(
    "--messages-in",
    multiple=True,
    type=(LANG, click.File("r", encoding="utf-8")),
    help="As --messages, likewise.",
)
@click.option("--priority", default=0, show_default=True)
@click.option("--off", is_flag=True, help="Keep it without using it.")
@form
def add_reply(
    slug: str, kind: str, keyword: str, matching: str, texts: Sequence[str], media: Sequence[int],
    messages: IO[str] | None, texts_in: Sequence[tuple[str, str]], media_in: Sequence[tuple[str, int]],
    messages_in: Sequence[tuple[str, IO[str]]], priority: int, off: bool,
) -> dict[str, Any]:  # fmt: skip
    """Add a reply, or replace the one of this kind, matching and keyword. Who reads a language for which nothing is
    given here reads the common messages."""
    now = context().clock.now()
    account_id = context().database.read(lambda session: accounts.get(session, slug).id)
    known = context().database.read(lambda session: uploads.known(session, account_id))
    files = dict(messages_in)
    if len(files) < len(messages_in):
        raise click.UsageError("--messages-in goes once with a language")
    said = _messages(known, texts, media, messages)
    variants = {
        lang: _messages(known, _of(lang, texts_in), _of(lang, media_in), files.get(lang))
        for lang, _ in (*texts_in, *media_in, *messages_in)
    }

    def add(session: Session) -> dict[str, Any]:
        row = replies.put(
            session, account_id, keyword, said, matching, kind=kind, priority=priority, enabled=not off,
            variants=variants,
        )  # fmt: skip
        value = replies.as_value(row)
        replies.note(
            session,
            account_id,
            actor=ACTOR,
            action="reply_added",
            before=None,
            after=value,
            now=now,
        )
        return value

    return context().database.transact(add)


def _of(lang: str, given: Sequence[tuple[str, T]]) -> list[T]:
    return [each for one, each in given if one == lang]


def _messages(
    known: Mapping[int, uploads.Known], texts: Sequence[str], media: Sequence[int], file: IO[str] | None
) -> list[Body]:  # fmt: skip
    if file is not None:
        if texts or media:
            raise click.UsageError(
                "messages as JSON go without texts and media of the same language"
            )
        try:
            return bodies.of_values(json.load(file))
        except ValueError as error:
            raise Invalid("not JSON", reason=str(error)) from error
    said: list[Body] = [TextBody(each) for each in texts]
    for each in media:
        if each not in known:
            raise Invalid("no such file", media=each)
        said.append(MediaBody(known[each].kind, each))
    return said


@reply.command("list")
@account_option
@form
def list_replies(slug: str) -> dict[str, Any]:
    """Every reply; `timeouts` counts texts on which a pattern took too long."""
    rows = context().database.read(
        lambda session: replies.all_of(session, accounts.get(session, slug).id)
    )
    return {"replies": [replies.as_value(row) for row in rows]}


@reply.command("remove")
@account_option
@click.argument("number", type=int)
@form
def remove_reply(slug: str, number: int) -> dict[str, Any]:
    """Delete a reply."""
    now = context().clock.now()

    def remove(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        before = replies.as_value(replies.get(session, account_id, number))
        replies.remove(session, account_id, number)
        replies.note(
            session,
            account_id,
            actor=ACTOR,
            action="reply_removed",
            before=before,
            after=None,
            now=now,
        )
        return {"removed": number}

    return context().database.transact(remove)


@reply.command("switch")
@account_option
@click.argument("number", type=int)
@click.argument("state", type=click.Choice(["on", "off"]))
@form
def switch_reply(slug: str, number: int, state: str) -> dict[str, Any]:
    """Use a reply, or keep it without using it."""
    now = context().clock.now()

    def switch(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        before = replies.as_value(replies.get(session, account_id, number))
        replies.switch(session, account_id, number, state == "on")
        after = replies.as_value(replies.get(session, account_id, number))
        replies.note(
            session,
            account_id,
            actor=ACTOR,
            action="reply_changed",
            before=before,
            after=after,
            now=now,
        )
        return after

    return context().database.transact(switch)


@reply.command("test")
@account_option
@click.argument("text")
@click.option("--tapped", is_flag=True, help="TEXT is a menu key.")
@form
def test_reply(slug: str, text: str, tapped: bool) -> dict[str, Any]:
    """Who would answer this text: a command, a reply, or our own fallback (both null); and which others fit it."""
    trial = context().database.read(
        lambda session: replies.try_text(
            session, accounts.get(session, slug).id, text, tapped=tapped
        )
    )
    rule = trial.chosen.rule
    shown = None if rule is None else {
        "id": rule.number, "kind": rule.kind, "keyword": rule.keyword, "matching": rule.matching,
        "messages": bodies.as_values(rule.messages),
    }  # fmt: skip
    others = [one.number for one in trial.others]
    return {"command": trial.chosen.command or None, "reply": shown, "others": others}


media = AppGroup("media", help="The merchant's pictures, voices and videos (素材).")


@media.command("add")
@account_option
@click.option("--kind", type=click.Choice(tuple(uploads.MOST_BYTES)), required=True)
@click.argument("file", type=click.File("rb"))
@form
def add_media(slug: str, kind: str, file: IO[bytes]) -> dict[str, Any]:
    """Keep a file. WeChat gets it when a reply that shows it is used, and again every three days."""
    content, name, now = file.read(), str(file.name).rpartition("/")[2], context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        row = uploads.add(
            session, accounts.get(session, slug).id, kind=kind, name=name, content=content, actor=ACTOR, now=now
        )  # fmt: skip
        return {"id": row.id, "kind": row.kind, "name": row.name, "size": row.size}

    return context().database.transact(add)


@media.command("remove")
@account_option
@click.argument("number", type=int)
@form
def remove_media(slug: str, number: int) -> dict[str, Any]:
    """Delete a file that nothing shows, at WeChat too."""
    materials.remove(context(), _opened(slug), number, actor=ACTOR)
    return {"removed": number}


@media.command("permanent")
@account_option
@click.argument("number", type=int)
@click.argument("state", type=click.Choice(["on", "off"]))
@form
def keep_media(slug: str, number: int, state: str) -> dict[str, Any]:
    """Let WeChat keep a file for ever, or for three days at a time. Its library holds 100,000 pictures, 1,000 voices
    and 1,000 videos."""
    materials.set_permanent(context(), _opened(slug), number, state == "on", actor=ACTOR)
    return {"id": number, "permanent": state == "on"}


# --- texts ----------------------------------------------------------------------------------------------------------

wording = AppGroup("text", help="Our texts in the merchant's own words (文案).")
lang_option = click.option("--lang", default=texts.ZH_CN, show_default=True, type=LANG)


@wording.command("list")
@account_option
@lang_option
@form
def list_wordings(slug: str, lang: str) -> dict[str, Any]:
    """The merchant's own wordings; `unusable`: the default is said, because an upgrade made this one impossible."""
    found = context().database.read(
        lambda session: texts.stored(session, accounts.get(session, slug).id, lang)
    )
    return {
        "texts": [
            {"key": key, "body": body, "default": texts.Words(lang=lang).template(key) if key in texts.TEXTS else None,
             "unusable": not texts.is_usable(key, body)}
            for key, body in sorted(found.items())
        ]
    }  # fmt: skip


@wording.command("set")
@account_option
@lang_option
@click.argument("key")
@click.argument("body")
@form
def set_wording(slug: str, lang: str, key: str, body: str) -> dict[str, Any]:
    """Say BODY instead of our text KEY; `missing` are placeholders of ours that it leaves out."""
    _change_wording(slug, lang, key, body)
    return {"key": key, "missing": texts.missing(key, body)}


@wording.command("reset")
@account_option
@lang_option
@click.argument("key")
@form
def reset_wording(slug: str, lang: str, key: str) -> dict[str, Any]:
    """Say our text KEY again."""
    _change_wording(slug, lang, key, None)
    return {"key": key}


def _change_wording(slug: str, lang: str, key: str, body: str | None) -> None:
    now = context().clock.now()
    context().database.transact(
        lambda session: wordings.change(
            session, accounts.get(session, slug).id, lang, key, body, actor=ACTOR, now=now
        )
    )


# --- followers ------------------------------------------------------------------------------------------------------

crowd = AppGroup("followers", help="WeChat's list of followers (粉丝).")


@crowd.command("sync")
@account_option
@form
def sync_followers(slug: str) -> dict[str, Any]:
    """Begin a sync with WeChat's list, or show the one that runs; the workers do it."""
    now = context().clock.now()

    def begin(session: Session) -> dict[str, Any]:
        row = followers.begin(session, accounts.get(session, slug).id, actor=ACTOR, now=now)
        return followers.as_value(row)

    return context().database.transact(begin)


@crowd.command("show")
@account_option
@form
def show_followers(slug: str) -> dict[str, Any]:
    """How far the last sync is."""
    row = context().database.read(
        lambda session: followers.latest(session, accounts.get(session, slug).id)
    )
    return {"sync": None if row is None else followers.as_value(row)}


@crowd.command("remark")
@account_option
@click.argument("openid")
@click.argument("remark")
@form
def remark_follower(slug: str, openid: str, remark: str) -> dict[str, Any]:
    """Note who this is (备注), in WeChat and here; an empty remark removes it."""
    kept = followers.check_remark(remark)
    opened, now = _opened(slug), context().clock.now()
    found = context().database.read(lambda session: members.get(session, opened.id, openid))
    platform_followers.set_remark(context().platform(opened), openid, kept)

    def keep(session: Session) -> None:
        members.set_remark(session, found.id, kept or None)
        # Without the words: the audit is append-only, and they are about a person.
        audit.record(
            session, opened.id, actor=ACTOR, action="remark", subject=f"member/{found.id}", now=now
        )

    context().database.transact(keep)
    return {"openid": openid, "remark": kept}


# --- tags -----------------------------------------------------------------------------------------------------------

label = AppGroup("tag", help="Tags of followers (标签).")


@label.command("list")
@account_option
@form
def list_tags(slug: str) -> dict[str, Any]:
    """The tags that WeChat has now, and the rules that give them."""
    opened = _opened(slug)
    found = people_tags.read(context(), opened)
    rules = context().database.read(lambda session: tags.rules_of(session, opened.id))
    return {
        "tags": [asdict(each) for each in found],
        "rules": [
            {
                "id": rule.id, "attribute": rule.attribute, "value": rule.value, "name": rule.name,
                "tag_id": rule.tag_id,
            }
            for rule in rules
        ],
    }  # fmt: skip


@label.command("create")
@account_option
@click.argument("name")
@form
def create_tag(slug: str, name: str) -> dict[str, Any]:
    """Make a tag in WeChat."""
    return asdict(people_tags.create(context(), _opened(slug), name, actor=ACTOR))


@label.command("rename")
@account_option
@click.argument("tag_id", type=int)
@click.argument("name")
@form
def rename_tag(slug: str, tag_id: int, name: str) -> dict[str, Any]:
    """Rename a tag in WeChat; rules that give it follow."""
    people_tags.rename(context(), _opened(slug), tag_id, name, actor=ACTOR)
    return {"tag_id": tag_id, "name": name}


@label.command("delete")
@account_option
@click.argument("tag_id", type=int)
@form
def delete_tag(slug: str, tag_id: int) -> dict[str, Any]:
    """Delete a tag in WeChat. One that a rule gives is made again: remove the rule first."""
    people_tags.delete(context(), _opened(slug), tag_id, actor=ACTOR)
    return {"deleted": tag_id}


@label.command("rule")
@account_option
@click.argument("attribute", type=click.Choice(tags.ATTRIBUTES))
@click.argument("value")
@click.argument("name")
@form
def add_tag_rule(slug: str, attribute: str, value: str, name: str) -> dict[str, Any]:
    """Members whose ATTRIBUTE is VALUE carry the tag NAME: bought yes 老客户."""
    now = context().clock.now()

    def add(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        row = tags.put_rule(session, account_id, attribute, value, name)
        shown = {"id": row.id, "attribute": attribute, "value": value, "name": row.name}
        audit.record(
            session, account_id, actor=ACTOR, action="tag_rule", subject=f"tag_rule/{row.id}", after=shown, now=now
        )  # fmt: skip
        return shown

    return context().database.transact(add)


@label.command("unrule")
@account_option
@click.argument("number", type=int)
@form
def remove_tag_rule(slug: str, number: int) -> dict[str, Any]:
    """Forget a rule; whoever carries the tag by it alone loses it."""
    now = context().clock.now()

    def remove(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        tags.remove_rule(session, account_id, number)
        audit.record(
            session, account_id, actor=ACTOR, action="tag_rule_removed", subject=f"tag_rule/{number}", now=now
        )  # fmt: skip
        return {"removed": number}

    return context().database.transact(remove)


# --- the blacklist --------------------------------------------------------------------------------------------------

ban = AppGroup("blacklist", help="Who is kept out by WeChat (黑名单): their pushes do not come.")


@ban.command("show")
@account_option
@form
def show_blacklist(slug: str) -> dict[str, Any]:
    """Who is kept out, as WeChat has it now."""
    return {"people": people_tags.read_blacklist(context(), _opened(slug), actor=ACTOR)}


@ban.command("add")
@account_option
@click.argument("openids", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for the audit log.")
@form
def add_to_blacklist(slug: str, openids: tuple[str, ...], reason: str) -> dict[str, Any]:
    """Keep up to 20 people out."""
    people_tags.keep_out(context(), _opened(slug), openids, reason=reason, actor=ACTOR)
    return {"added": list(openids)}


@ban.command("remove")
@account_option
@click.argument("openids", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for the audit log.")
@form
def remove_from_blacklist(slug: str, openids: tuple[str, ...], reason: str) -> dict[str, Any]:
    """Let up to 20 people in again."""
    people_tags.let_in(context(), _opened(slug), openids, reason=reason, actor=ACTOR)
    return {"removed": list(openids)}


# --- personal data --------------------------------------------------------------------------------------------------


@member.command("export")
@account_option
@click.argument("openid")
@form
def export_member(slug: str, openid: str) -> dict[str, Any]:
    """Everything that is kept of one person, for them to have."""
    now = context().clock.now()

    def read(session: Session) -> dict[str, Any]:
        account_id = accounts.get(session, slug).id
        found = members.get(session, account_id, openid)
        value = privacy.export(session, context().keyring, account_id, found.id, now)
        audit.record(
            session,
            account_id,
            actor=ACTOR,
            action="exported",
            subject=f"member/{found.id}",
            now=now,
        )
        return value

    return context().database.transact(read)


COMMANDS: Final = (menu, reply, media, wording, crowd, label, ban)
