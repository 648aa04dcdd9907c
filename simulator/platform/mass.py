"""Mass messages: to everybody, to a tag, to a list; their four a month, clientmsgid, and the administrator's word.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Batch_Sends_and_Originality_Checks.html
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from simulator.errors import ApiError
from simulator.platform import drafts, media
from simulator.platform.gate import OK, ApiCall, Endpoints
from simulator.replies import media_url
from simulator.state import Contact, MassJob, World

endpoints = Endpoints()

MOST, LEAST = 10_000, 2
A_MONTH = 4
KEY_BYTES = 32
KEY_SECONDS = 86_400
KEY_BUSY_SECONDS = 60  # whoever repeats a clientmsgid sooner is told to wait
ADMIN_SECONDS = 1_800
TEXT_BYTES = 2_048
SPEEDS = (80, 60, 45, 30, 10)  # ten thousand a minute
_BEIJING_SECONDS = 8 * 3600

Fields = dict[str, Any]


@endpoints.add("POST", "/cgi-bin/message/mass/sendall", per_day=100, per_minute=60)
def send_all(call: ApiCall) -> Fields:
    """To everybody who follows, or to one tag."""
    wanted = call.body.get("filter")
    if not isinstance(wanted, dict):
        raise ApiError(40035, "filter")
    if wanted.get("is_to_all"):
        return _send(call, lambda: list(call.account.contacts.values()), guarded=True)
    tag = wanted.get("tag_id")
    if type(tag) is not int or str(tag) not in call.account.tags:
        raise ApiError(40152)
    return _send(call, lambda: _tagged(call, tag), guarded=False)


@endpoints.add("POST", "/cgi-bin/message/mass/send", per_day=100, per_minute=60)
def send(call: ApiCall) -> Fields:
    """To a list of 2 to 10,000 openids; strangers in it are passed over."""
    openids = call.body.get("touser")
    if not isinstance(openids, list) or len(set(map(str, openids))) < LEAST:
        raise ApiError(40130)
    if len(openids) > MOST:
        raise ApiError(40032)
    contacts = call.account.contacts
    return _send(
        call,
        lambda: [contacts[each] for each in dict.fromkeys(openids) if each in contacts],
        guarded=False,
        given=len(set(openids)),
    )


@endpoints.add("POST", "/cgi-bin/message/mass/preview", per_day=100)
def preview(call: ApiCall) -> Fields:
    """On one phone only; here a picture is `image`, and no month is charged."""
    contact = call.contact(call.body.get("touser") or call.body.get("towxname"))
    if not contact.subscribed:
        raise ApiError(43004)
    kind, content = _content(call, preview=True)
    call.world.add_message(contact, "account", kind, **content)
    return OK | {"msg_id": call.world.next_msgid()}


@endpoints.add("POST", "/cgi-bin/message/mass/get", per_day=100_000)
def get(call: ApiCall) -> Fields:
    """Whether a mass message was sent; no figures."""
    job = _job(call)
    return {
        "msg_id": int(job.msg_id),
        "msg_status": "DELETE" if job.deleted else _status(call.world, job),
    }


@endpoints.add("POST", "/cgi-bin/message/mass/delete", per_day=100_000)
def delete(call: ApiCall) -> Fields:
    """Take articles or a video back; the card on the phones says so."""
    job = _job(call)
    if job.kind not in ("news", "mpvideo"):
        raise ApiError(40008)
    with call.world.lock:
        job.deleted = True
    return OK


@endpoints.add("POST", "/cgi-bin/message/mass/speed/get", per_day=100_000)
def get_speed(call: ApiCall) -> Fields:
    """The speed level, and what it means in ten thousand a minute."""
    return {"speed": call.account.mass_speed, "realspeed": SPEEDS[call.account.mass_speed]}


@endpoints.add("POST", "/cgi-bin/message/mass/speed/set", per_day=100_000)
def set_speed(call: ApiCall) -> Fields:
    """0 to 4."""
    speed = call.body.get("speed")
    if not isinstance(speed, int) or isinstance(speed, bool):
        raise ApiError(45084)
    if not 0 <= speed < len(SPEEDS):
        raise ApiError(45083)
    call.account.mass_speed = speed
    return OK


# --- one mass message -----------------------------------------------------------------------------------------------


def _send(
    call: ApiCall, meant: Callable[[], Iterable[Contact]], *, guarded: bool, given: int = 0
) -> Fields:
    key = _key(call)
    with call.world.lock:
        _refuse_repeat(call, key)
        _ask_admin(call, key, guarded=guarded)
        kind, content = _content(call, preview=False)
        contacts = list(meant())
        job = MassJob(str(call.world.next_msgid()), kind, int(call.at), key)
        call.account.mass_jobs[job.msg_id] = job
        call.account.mass_keys[key] = [int(job.msg_id), call.at]
        _deliver(call, job, kind, content, contacts, given)
    call.people.finish_mass(call.account, job, call.base_url)
    answer: Fields = {
        "errcode": 0,
        "errmsg": "send job submission success",
        "msg_id": int(job.msg_id),
    }
    if kind == "news":
        answer["msg_data_id"] = int(job.msg_id) % 10**9
    return answer


def _key(call: ApiCall) -> str:
    """The clientmsgid; without one the platform takes audience and content for it."""
    wanted = call.body.get("clientmsgid")
    if wanted is None:
        return (
            "content " + hashlib.sha256(json.dumps(call.body, sort_keys=True).encode()).hexdigest()
        )
    if not isinstance(wanted, str) or len(wanted.encode()) > KEY_BYTES:
        raise ApiError(45067)
    return wanted


def _refuse_repeat(call: ApiCall, key: str) -> None:
    """45066 for a minute, then 45065 with the number of the message, for a day."""
    msg_id, at = call.account.mass_keys.get(key, [0, 0.0])
    age = call.world.now() - at
    if msg_id and age < KEY_BUSY_SECONDS:
        raise ApiError(45066)
    if msg_id and age < KEY_SECONDS:
        raise ApiError(45065, fields={"msg_id": int(msg_id)})


def _ask_admin(call: ApiCall, key: str, *, guarded: bool) -> None:
    """The safety switch: 89504 until an administrator has spoken, 89505 when they refused or half an hour is over."""
    if not guarded or not call.account.mass_protected:
        return
    asked = call.account.mass_asked.setdefault(key, [call.at, ""])
    answer = asked[1]
    if answer == "yes":
        return
    if answer == "no" or call.at - float(asked[0]) > ADMIN_SECONDS:
        raise ApiError(89505)
    raise ApiError(89504)


def _deliver(
    call: ApiCall,
    job: MassJob,
    kind: str,
    content: Fields,
    contacts: list[Contact],
    given: int,
) -> None:
    """Show it to those who follow and have not had four this month. Nobody sees it when the platform refuses it."""
    job.total = max(given, len(contacts))
    job.status = call.world.faults.mass_status
    followers = [each for each in contacts if each.subscribed and not each.blacklisted]
    job.filtered = job.total - len(followers)
    month = _month(call.world)
    for contact in followers:
        had = contact.mass_month[1] if contact.mass_month[:1] == [month] else 0
        if had >= A_MONTH or job.status != "send success":
            job.errors += 1
            continue
        contact.mass_month = [month, had + 1]
        call.world.add_message(contact, "account", kind, **content, mass=job.msg_id)
        job.sent += 1
    if kind == "news" and job.status == "send success":
        draft = call.account.drafts.pop(str(call.body["mpnews"]["media_id"]))
        call.account.sent_articles[job.msg_id] = draft.articles


def _content(call: ApiCall, *, preview: bool) -> tuple[str, Fields]:
    kind = call.body.get("msgtype")
    reader = _READERS.get(str(kind))
    if reader is None:
        raise ApiError(40008)
    branch_name = "images" if kind == "image" and not preview else str(kind)
    branch = call.body.get(branch_name)
    if not isinstance(branch, dict):
        raise ApiError(40035, branch_name)
    return reader(call, branch)


def _text(_call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    content = branch.get("content")
    if not isinstance(content, str) or not content.strip():
        raise ApiError(44004)
    if len(content.encode()) > TEXT_BYTES:
        raise ApiError(45002)
    return "text", {"text": content}


def _image(call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    media_ids = branch.get("media_ids", [branch.get("media_id")])
    if not isinstance(media_ids, list) or not media_ids:
        raise ApiError(40007)
    found = [media.find(call, each) for each in media_ids]
    if any(each.type != "image" for each in found):
        raise ApiError(40007)
    first = found[0].media_id
    return "image", {"media_id": first, "image_url": media_url(call.account, first)}


def _voice(call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    found = media.find(call, branch.get("media_id"))
    return "voice", {
        "media_id": found.media_id,
        "media_url": media_url(call.account, found.media_id),
    }


def _video(call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    found = media.find(call, branch.get("media_id"))
    return "video", {
        "media_id": found.media_id,
        "media_url": media_url(call.account, found.media_id),
    }


def _news(call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    draft = drafts.find(call.account, branch.get("media_id"))
    with call.world.lock:
        call.account.sent_articles[draft.media_id] = draft.articles
    return "news", drafts.card_of(call.account, draft.articles, draft.media_id, call.base_url)


def _card(_call: ApiCall, branch: Fields) -> tuple[str, Fields]:
    if not branch.get("card_id"):
        raise ApiError(45113)
    return "wxcard", {"text": str(branch["card_id"])}


_READERS: dict[str, Callable[[ApiCall, Fields], tuple[str, Fields]]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "mpvideo": _video,
    "mpnews": _news,
    "wxcard": _card,
}


def _tagged(call: ApiCall, tag: int) -> list[Contact]:
    """Whoever has the tag."""
    return [each for each in call.account.contacts.values() if tag in each.tags]


def _job(call: ApiCall) -> MassJob:
    job = call.account.mass_jobs.get(str(call.body.get("msg_id")))
    if job is None:
        raise ApiError(40059)
    return job


def _status(world: World, job: MassJob) -> str:
    if world.now() < job.at + world.faults.mass_delay_ms / 1000:
        return "SENDING"
    return "SEND_SUCCESS" if job.status == "send success" else "SEND_FAIL"


def _month(world: World) -> int:
    moment = datetime.fromtimestamp(world.now() + _BEIJING_SECONDS, UTC)
    return moment.year * 100 + moment.month
