"""Mass messages as the account's administrator sees them, and the pages of articles."""

from html import escape
from typing import Any

from flask import Response

from simulator.control.gate import Calls, ControlCall
from simulator.errors import ControlError
from simulator.state import Tag

calls = Calls()

_POLICY = "default-src 'none'; img-src 'self' http: https: data:; style-src 'unsafe-inline'"
_PAGE = """<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{font:17px/1.7 system-ui,sans-serif;margin:0 auto;max-width:40rem;padding:1.2rem;color:#222}}
h1{{font-size:1.4rem;line-height:1.4}}p.by{{color:#888;font-size:.9rem}}img{{max-width:100%}}
a.source{{display:inline-block;margin-top:1.5rem;color:#576b95}}</style></head><body>
<h1>{title}</h1><p class="by">{author} {account}</p><div>{content}</div>{source}</body></html>"""


@calls.add("GET", "/_sim/mass")
def mass_jobs(call: ControlCall) -> Any:
    """Mass messages of an account, newest first: account. `asked`: those that wait for an administrator."""
    account = call.account()
    jobs = [vars(each) for each in reversed(list(account.mass_jobs.values()))]
    asked = {key: answer for key, (_at, answer) in account.mass_asked.items()}
    return {"jobs": jobs, "asked": asked}


@calls.add("POST", "/_sim/mass/confirm")
def confirm(call: ControlCall) -> Any:
    """The administrator's answer to mass messages that wait: account, ok (true or false)."""
    account, ok = call.account(), call.fields.get("ok", True)
    with call.world.lock:
        waiting = [asked for asked in account.mass_asked.values() if not asked[1]]
        for asked in waiting:
            asked[1] = "yes" if ok else "no"
    return {"answered": len(waiting)}


@calls.add("POST", "/_sim/mass/received")
def received(call: ControlCall) -> Any:
    """How many mass messages and other messages of the account each follower has had: account, texts (true: count
    each text apart). Answers {"people": n, "counts": {"1": n, …}, "texts": {…}}."""
    account = call.account()
    counts: dict[int, int] = {}
    texts: dict[str, int] = {}
    with call.world.lock:
        for contact in account.contacts.values():
            mine = [each for each in contact.messages if each["from"] == "account"]
            counts[len(mine)] = counts.get(len(mine), 0) + 1
            if call.fields.get("texts"):
                for each in mine:
                    text = str(each.get("text", each["type"]))
                    texts[text] = texts.get(text, 0) + 1
        people = len(account.contacts)
    return {"people": people, "counts": counts, "texts": texts}


@calls.add("POST", "/_sim/tag")
def tag(call: ControlCall) -> Any:
    """Give followers a tag, which is made if need be, without a call of the account: account, tag (its id), openids."""
    account, number = call.account(), call.number("tag")
    with call.world.lock:
        tag_of_number = account.tags.setdefault(str(number), Tag(number, f"标签 {number}"))
        account.next_tag_id = max(account.next_tag_id, number + 1)
        for openid in call.fields.get("openids", []):
            contact = account.contacts.get(openid)
            if contact is None:
                raise ControlError(f"no follower {openid}", 404)
            if number not in contact.tags:
                contact.tags.append(number)
                tag_of_number.count += contact.subscribed
    return {"ok": True}


@calls.add("GET", "/_sim/articles/<app_id>/<key>/<int:number>")
def article(call: ControlCall, app_id: str, key: str, number: int) -> Response:
    """An article as a phone opens it."""
    account = call.world.get_account(app_id)
    articles = account.sent_articles.get(key, [])
    for publication in account.publications.values():
        if publication.article_id == key and publication.status == 0:
            articles = publication.articles
    if not 1 <= number <= len(articles):
        raise ControlError("no such article", 404)
    found = articles[number - 1]
    source = found["content_source_url"]
    link = f'<a class="source" href="{escape(source)}">阅读原文</a>' if _is_web(source) else ""
    page = _PAGE.format(
        title=escape(found["title"]), author=escape(found["author"]), account=escape(account.name),
        content=found["content"], source=link,
    )  # fmt: skip
    return Response(page, headers={"Content-Security-Policy": _POLICY})


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))
