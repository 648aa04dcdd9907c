"""Template messages: shown once, cut, refused, and their end pushed."""

from typing import Any

from tests.simulator.conftest import Callback, Sim, follower

SEND = "/cgi-bin/message/template/send"


def template(openid: str, **extra: Any) -> dict[str, Any]:
    body = {"touser": openid, "template_id": "tm-1", "data": {"thing1": {"value": "到账"}}}
    return body | extra


def test_a_template_message_is_shown_and_its_end_is_pushed(sim: Sim, callback: Callback) -> None:
    openid = follower(sim)
    data = {"amount1": {"value": "12.50"}}
    sent = sim.client().message.send_template(openid, "tm-1", data, url="https://e.cn/")
    card = sim.chat("小明")[-1]
    assert (card["type"], card["url"]) == ("template", "https://e.cn/")
    assert card["fields"] == [{"key": "amount1", "label": "amount1", "value": "12.50"}]
    finish = callback.wait_for(2)[1].fields
    assert finish["Event"] == "TEMPLATESENDJOBFINISH"
    assert (finish["MsgID"], finish["Status"]) == (str(sent["msgid"]), "success")


def test_the_same_client_msg_id_is_sent_once_in_ten_minutes(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    body = template(openid, client_msg_id="outbox-1")
    first, again = (sim.api(SEND, body, access_token=token)["msgid"] for _ in range(2))
    assert first == again
    assert len(sim.chat("小明")) == 1
    sim.advance(601)
    second, again = (sim.api(SEND, body, access_token=token)["msgid"] for _ in range(2))
    assert first != second == again
    assert len(sim.chat("小明")) == 2


def test_declared_templates_give_labels_and_demand_their_fields(sim: Sim) -> None:
    content = "{{first.DATA}}\n下级：{{thing1.DATA}}\n时间：{{time2.DATA}}"
    sim.account(templates=[{"template_id": "tm-1", "title": "新成员", "content": content}])
    openid, token = follower(sim), sim.access_token()
    whole = {"thing1": {"value": "小红"}, "time2": {"value": "2026-11-22 10:00"}}
    assert sim.api(SEND, template(openid, data=whole), access_token=token)["errcode"] == 0
    assert sim.chat("小明")[-1]["fields"][0] == {"key": "thing1", "label": "下级", "value": "小红"}
    for data in ({}, {"thing1": {"value": "小红"}}, whole | {"time2": {"value": " "}}, None):
        refused = sim.api(SEND, template(openid, data=data), access_token=token)
        assert refused["errcode"] == 47003
    unknown = template(openid, template_id="tm-2")
    assert sim.api(SEND, unknown, access_token=token)["errcode"] == 40037
    listed = sim.client().template.get_all_private_template()["template_list"]
    assert listed[0]["content"] == content


def test_values_are_cut_to_20_characters_without_breaks_or_emoji(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    data = {"a": {"value": "字" * 25}, "b": {"value": "x" * 50 + "字"}, "c": {"value": "好\n👍的"}}
    sim.api(SEND, template(openid, data=data), access_token=token)
    values = [each["value"] for each in sim.chat("小明")[-1]["fields"]]
    assert values == ["字" * 20, "x" * 50 + "字", "好的"]


def test_only_followers_get_template_messages(sim: Sim) -> None:
    openid, token = sim.user("小明"), sim.access_token()
    assert sim.api(SEND, template(openid), access_token=token)["errcode"] == 43004
    assert sim.api(SEND, template("stranger"), access_token=token)["errcode"] == 40003
    sim.control("faults", unfollowed_errcode=40003)
    assert sim.api(SEND, template(openid), access_token=token)["errcode"] == 40003


def test_the_end_can_be_a_failure_or_lost(sim: Sim, callback: Callback) -> None:
    openid, token = follower(sim), sim.access_token()
    sim.control("faults", finish_lost_rate=1.0)
    sim.api(SEND, template(openid), access_token=token)
    sim.control("faults", off=True, finish_status="failed:user block", lower_case_events=True)
    sim.api(SEND, template(openid), access_token=token)
    finish = callback.wait_for(2)[1].fields
    assert finish["Event"] == "templatesendjobfinish"
    assert finish["Status"] == "failed:user block"
    assert len(callback.received) == 2
