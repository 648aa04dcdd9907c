"""Mass messages, drafts, publishing and the library, as the platform would have it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.simulator.conftest import Callback, Sim, eventually, png

MASS = "/cgi-bin/message/mass"


class Caller:
    """The account's own calls."""

    def __init__(self, sim: Sim) -> None:
        self.sim, self.token = sim, sim.access_token()

    def __call__(self, path: str, **body: Any) -> Any:
        return self.sim.api(path, body, access_token=self.token)

    def upload(self, path: str, **query: str) -> Any:
        return requests.post(
            f"{self.sim.url}{path}", params={"access_token": self.token, **query},
            files={"media": ("a.png", png())}, timeout=10,
        ).json()  # fmt: skip

    def to(self, openids: list[str], text: str = "你好", **more: Any) -> Any:
        return self(f"{MASS}/send", touser=openids, msgtype="text", text={"content": text}, **more)

    def draft(self, **changes: Any) -> Any:
        cover = self.upload("/cgi-bin/material/add_material", type="image")["media_id"]
        article = {"title": "茶", "content": "<p>好</p>", "thumb_media_id": cover} | changes
        return self("/cgi-bin/draft/add", articles=[article])


@pytest.fixture
def call(sim: Sim) -> Caller:
    return Caller(sim)


@pytest.fixture
def people(sim: Sim) -> list[str]:
    found: list[str] = sim.control("crowd", count=5)["openids"]
    return found


def _texts(sim: Sim, openid: str) -> list[str]:
    return [each["text"] for each in sim.chat(openid) if each["type"] == "text"]


def _told(callback: Callback, event: str) -> Any:
    """The event's fields, as soon as it has come."""
    return eventually(
        lambda: next(
            (one.fields for one in list(callback.received) if one.fields.get("Event") == event),
            None,
        )
    )


def test_a_list_is_shown_to_its_people_and_told_of(
    sim: Sim, call: Caller, people: list[str], callback: Callback
) -> None:
    sim.control("unfollow", user=people[4])
    answer = call.to([*people, "stranger"])
    assert answer["errcode"] == 0
    assert [len(_texts(sim, one)) for one in people] == [1, 1, 1, 1, 0]
    told = _told(callback, "MASSSENDJOBFINISH")
    assert told["MsgID"] == str(answer["msg_id"])
    figures = [told[name] for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")]
    assert (told["Status"], figures) == ("send success", ["6", "4", "4", "0"])
    assert call(f"{MASS}/get", msg_id=answer["msg_id"])["msg_status"] == "SEND_SUCCESS"


@pytest.mark.parametrize(("count", "errcode"), [(0, 40130), (1, 40130), (10_001, 40032)])
def test_a_list_has_2_to_10000_people(call: Caller, count: int, errcode: int) -> None:
    assert call.to([f"o{number}" for number in range(count)])["errcode"] == errcode


def test_the_same_clientmsgid_is_too_soon_for_a_minute_and_known_for_a_day(
    sim: Sim, call: Caller, people: list[str]
) -> None:
    first = call.to(people, clientmsgid="k" * 32)
    assert call.to(people, "other words", clientmsgid="k" * 32)["errcode"] == 45066
    sim.advance(61)
    again = call.to(people, "other words", clientmsgid="k" * 32)
    assert (again["errcode"], again["msg_id"]) == (45065, first["msg_id"])
    assert call.to(people, clientmsgid="k" * 33)["errcode"] == 45067
    sim.advance(86_401)
    call.token = sim.access_token()
    assert call.to(people, clientmsgid="k" * 32)["errcode"] == 0
    assert len(_texts(sim, people[0])) == 2


def test_without_a_clientmsgid_the_content_is_its_own(
    sim: Sim, call: Caller, people: list[str]
) -> None:
    first = call.to(people)
    assert call.to(people)["errcode"] == 45066
    sim.advance(61)
    assert call.to(people)["errcode"] == 45065
    assert call.to(people)["msg_id"] == first["msg_id"]
    assert call.to(people, "something else")["errcode"] == 0


def test_the_fifth_of_a_month_reaches_nobody(sim: Sim, call: Caller, people: list[str]) -> None:
    for number in range(5):
        call.to(people, f"第 {number} 次")
    assert len(_texts(sim, people[0])) == 4
    jobs = sim.look("mass")["jobs"]
    assert [(job["sent"], job["errors"]) for job in jobs] == [(0, 5), *[(5, 0)] * 4]


@pytest.mark.parametrize(("ok", "errcode"), [(True, 0), (False, 89505)])
def test_a_protected_message_to_all_waits_for_an_administrator(
    sim: Sim, call: Caller, people: list[str], ok: bool, errcode: int
) -> None:
    sim.account(mass_protected=True)
    body = {
        "filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "好"}, "clientmsgid": "k",
    }  # fmt: skip
    assert call(f"{MASS}/sendall", **body)["errcode"] == 89504
    assert sim.control("mass/confirm", ok=ok) == {"answered": 1}
    assert call(f"{MASS}/sendall", **body)["errcode"] == errcode
    assert len(_texts(sim, people[0])) == (1 if ok else 0)
    assert call.to(people)["errcode"] == 0  # a list is not protected


def test_nobody_confirms_for_half_an_hour(sim: Sim, call: Caller, people: list[str]) -> None:
    sim.account(mass_protected=True)
    body = {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "好"}}
    assert call(f"{MASS}/sendall", **body)["errcode"] == 89504
    sim.advance(1801)
    assert call(f"{MASS}/sendall", **body)["errcode"] == 89505


def test_a_picture_is_images_in_a_mass_message_and_image_in_a_preview(
    sim: Sim, call: Caller, people: list[str]
) -> None:
    picture = call.upload("/cgi-bin/media/upload", type="image")["media_id"]
    images = {"media_ids": [picture]}
    assert call(f"{MASS}/send", touser=people, msgtype="image", images=images)["errcode"] == 0
    wrong = {"media_id": picture}
    assert call(f"{MASS}/send", touser=people, msgtype="image", image=wrong)["errcode"] == 40035
    shown = call(f"{MASS}/preview", touser=people[0], msgtype="image", image=wrong)
    assert shown["errcode"] == 0
    assert [each["type"] for each in sim.chat(people[0])] == ["image", "image"]
    assert (
        call(f"{MASS}/preview", touser="nobody", msgtype="image", image=wrong)["errcode"] == 40003
    )


def test_a_refused_message_is_seen_by_nobody(sim: Sim, call: Caller, people: list[str]) -> None:
    sim.control("faults", mass_status="err(10001)")
    answer = call.to(people)
    assert answer["errcode"] == 0
    assert call(f"{MASS}/get", msg_id=answer["msg_id"])["msg_status"] == "SEND_FAIL"
    assert _texts(sim, people[0]) == []


def test_a_draft_ends_with_the_message_that_was_made_of_it(
    sim: Sim, call: Caller, people: list[str]
) -> None:
    media_id = call.draft(digest="一句话", content_source_url="https://tea.example/")["media_id"]
    body = {"touser": people, "msgtype": "mpnews", "mpnews": {"media_id": media_id}}
    sent = call(f"{MASS}/send", **body, clientmsgid="a")
    assert sent["msg_data_id"]
    assert call(f"{MASS}/send", **body, clientmsgid="b")["errcode"] == 40007
    assert call("/cgi-bin/draft/get", media_id=media_id)["errcode"] == 40007
    (card,) = sim.chat(people[0])
    assert card["articles"][0]["title"] == "茶"
    page = requests.get(card["articles"][0]["url"], timeout=10)
    assert "阅读原文" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert call(f"{MASS}/delete", msg_id=sent["msg_id"])["errcode"] == 0
    assert call(f"{MASS}/get", msg_id=sent["msg_id"])["msg_status"] == "DELETE"


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"title": "长" * 33}, 45003),
        ({"author": "长" * 17}, 45110),
        ({"digest": "长" * 121}, 45004),
        ({"content": "长" * 20_000}, 45002),
        ({"content": ""}, 44004),
        ({"content_source_url": "https://a.example/" + "x" * 1024}, 45005),
        ({"thumb_media_id": "nothing"}, 40007),
    ],
)
def test_a_draft_has_the_platforms_limits(
    call: Caller, changes: dict[str, str], errcode: int
) -> None:
    assert call.draft(**changes)["errcode"] == errcode


def test_a_cover_is_permanent_and_foreign_pictures_and_scripts_vanish(call: Caller) -> None:
    temporary = call.upload("/cgi-bin/media/upload", type="image")["media_id"]
    assert call.draft(thumb_media_id=temporary)["errcode"] == 40007
    own = call.upload("/cgi-bin/media/uploadimg")["url"]
    content = (
        f'<img src="{own}"><img src="https://elsewhere.example/x.png"><script>alert(1)</script>'
    )
    media_id = call.draft(content=content)["media_id"]
    (article,) = call("/cgi-bin/draft/get", media_id=media_id)["news_item"]
    assert article["content"] == f'<img src="{own}"><img src="">'


def test_drafts_are_counted_listed_changed_and_deleted(call: Caller) -> None:
    ids = [call.draft(title=f"茶 {number}")["media_id"] for number in range(3)]
    assert call.sim.api("/cgi-bin/draft/count", access_token=call.token)["total_count"] == 3
    (stored,) = call("/cgi-bin/draft/get", media_id=ids[0])["news_item"]
    changed = call(
        "/cgi-bin/draft/update", media_id=ids[0], index=0, articles=stored | {"title": "新"}
    )
    assert changed["errcode"] == 0
    page = call("/cgi-bin/draft/batchget", offset=1, count=2, no_content=1)
    titles = [each["content"]["news_item"][0]["title"] for each in page["item"]]
    assert (page["total_count"], titles) == (3, ["茶 1", "新"])
    assert "content" not in page["item"][0]["content"]["news_item"][0]
    assert call("/cgi-bin/draft/batchget", offset=0, count=21)["errcode"] == 40035
    assert call("/cgi-bin/draft/delete", media_id=ids[0])["errcode"] == 0
    assert call("/cgi-bin/draft/delete", media_id=ids[0])["errcode"] == 40007


def test_a_publication_is_told_of_and_reaches_no_chat(
    sim: Sim, call: Caller, people: list[str], callback: Callback
) -> None:
    media_id = call.draft()["media_id"]
    publish_id = call("/cgi-bin/freepublish/submit", media_id=media_id)["publish_id"]
    told = _told(callback, "PUBLISHJOBFINISH")["PublishEventInfo"]
    assert (told["publish_id"], told["publish_status"]) == (publish_id, "0")
    found = call("/cgi-bin/freepublish/get", publish_id=publish_id)
    url = found["article_detail"]["item"][0]["article_url"]
    assert requests.get(url, timeout=10).status_code == 200
    assert sim.chat(people[0]) == []
    assert call("/cgi-bin/freepublish/submit", media_id=media_id)["errcode"] == 53503
    listed = call("/cgi-bin/freepublish/batchget", offset=0, count=20)
    assert listed["total_count"] == 1
    article_id = found["article_id"]
    assert call("/cgi-bin/freepublish/getarticle", article_id=article_id)["news_item"][0]["url"] == url  # fmt: skip
    assert call("/cgi-bin/freepublish/delete", article_id=article_id)["errcode"] == 0
    assert call("/cgi-bin/freepublish/getarticle", article_id=article_id)["errcode"] == 53600


def test_a_refused_publication_keeps_its_draft(sim: Sim, call: Caller) -> None:
    sim.control("faults", publish_status=4)
    media_id = call.draft()["media_id"]
    publish_id = call("/cgi-bin/freepublish/submit", media_id=media_id)["publish_id"]
    assert call("/cgi-bin/freepublish/get", publish_id=publish_id)["publish_status"] == 4
    assert len(call("/cgi-bin/draft/get", media_id=media_id)["news_item"]) == 1


def test_the_library_keeps_what_temporary_material_does_not(sim: Sim, call: Caller) -> None:
    kept = call.upload("/cgi-bin/material/add_material", type="image")
    assert requests.get(kept["url"], timeout=10).content == png()
    sim.advance(4 * 86_400)
    call.token = sim.access_token()
    page = call("/cgi-bin/material/batchget_material", type="image", offset=0, count=20)
    assert [each["media_id"] for each in page["item"]] == [kept["media_id"]]
    count = sim.api("/cgi-bin/material/get_materialcount", access_token=call.token)
    assert (count["image_count"], count["news_count"]) == (1, 0)
    found = requests.post(
        f"{sim.url}/cgi-bin/material/get_material", params={"access_token": call.token},
        json={"media_id": kept["media_id"]}, timeout=10,
    )  # fmt: skip
    assert found.content == png()
    assert call("/cgi-bin/material/del_material", media_id=kept["media_id"])["errcode"] == 0
    assert call("/cgi-bin/material/get_material", media_id=kept["media_id"])["errcode"] == 40007


def test_the_speed_has_five_levels(call: Caller) -> None:
    assert call(f"{MASS}/speed/get") == {"speed": 0, "realspeed": 80}
    assert call(f"{MASS}/speed/set", speed=4)["errcode"] == 0
    assert call(f"{MASS}/speed/get")["realspeed"] == 10
    assert call(f"{MASS}/speed/set", speed=5)["errcode"] == 45083
    assert call(f"{MASS}/speed/set")["errcode"] == 45084


def test_the_quota_of_mass_messages(sim: Sim, call: Caller, people: list[str]) -> None:
    sim.control("faults", quota={f"{MASS}/send": 1})
    assert call.to(people, "一")["errcode"] == 0
    assert call.to(people, "二")["errcode"] == 45009
