"""Tags and their rules, the blacklist and the follower sync, with a WeChat that answers and one that does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from domain import codes, followers, members, tags
from domain.accounts import OpenAccount
from domain.models import Audit, FollowerSync, Tag, TagRule
from tests.domain.statements import recorded
from tests.support.servers import Simulator
from tests.web.console.browser import Browser, Console

TAGS = "/console/tea/tags"
BLACKLIST = "/console/tea/blacklist"
FOLLOWERS = "/console/tea/followers"


def read(console: Console, query: Any) -> list[Any]:
    return list(console.merchant.database.read(lambda session: session.scalars(query).all()))


def actions(console: Console) -> list[str]:
    return read(console, select(Audit.action).order_by(Audit.id))


def test_rule_is_chosen_from_what_the_account_has_and_removed_with_a_reason(
    console: Console, owner: Browser
) -> None:
    assert 'value="bought:yes"' in owner.get(TAGS).text
    owner.post(f"{TAGS}/rules", when="bought:yes", name="老客户")
    assert "规则已保存" in owner.said()
    [rule] = read(console, select(TagRule))
    html = owner.get(TAGS).text
    assert "等微信建好" in html
    assert "进行中" in html, "everybody is looked at"
    owner.post(f"{TAGS}/rules/{rule.id}/remove")
    assert "请写明原因" in owner.said()
    owner.post(f"{TAGS}/rules/{rule.id}/remove", reason="不用了")
    assert read(console, select(TagRule)) == []
    assert actions(console)[-2:] == ["tag_rule", "tag_rule_removed"]


def test_rule_without_a_condition_or_a_name_is_refused(console: Console, owner: Browser) -> None:
    for form, words in (
        ({"when": "", "name": "x"}, "请选一个条件"),
        ({"when": "bought:maybe", "name": "x"}, "没有完成"),
        ({"when": "bought:yes", "name": " "}, "标签名为 1 到 30 个字"),
    ):
        owner.post(f"{TAGS}/rules", **form)
        assert words in owner.said()
    assert read(console, select(TagRule)) == []


def test_codes_are_offered_without_their_tickets_which_grow_with_every_renewal(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    card = console.merchant.database.transact(
        lambda s: codes.add(s, account.id, name="南京路橱窗", now=console.now)
    )
    with recorded() as sent:
        html = owner.get(TAGS).text
    assert f'value="channel:{card.scene.code}">从哪个码来：南京路橱窗<' in html
    assert [one for one in sent if "qr_ticket" in one.text] == []


def test_everybody_is_looked_at_again_at_once(
    console: Console, owner: Browser, account: OpenAccount
) -> None:
    database = console.merchant.database

    def walk(session: Any) -> None:
        tags.put_rule(session, account.id, tags.BOUGHT, "no", "新客")
        while tags.mark_next(session, account.id, console.now):
            pass

    database.transact(walk)
    assert database.read(lambda s: tags.progress(s, account.id)).looked_at is not None
    owner.post(f"{TAGS}/sync")
    assert database.read(lambda s: tags.progress(s, account.id)).looked_at is None


def test_wechat_that_does_not_answer_is_told_and_changes_nothing(
    console: Console, owner: Browser
) -> None:
    for path, form in (
        (f"{TAGS}/read", {}),
        (f"{TAGS}/create", {"name": "熟客"}),
        (f"{BLACKLIST}/add", {"who": "child", "reason": "骂人"}),
        (f"{BLACKLIST}/read", {}),
    ):
        owner.post(path, **form)
        assert "连不上微信" in owner.said(), path
    assert read(console, select(Tag)) == []
    assert actions(console) == []


def test_tags_are_made_renamed_and_deleted_at_wechat(console: Console, connected: Browser) -> None:
    connected.post(f"{TAGS}/create", name="")
    assert "标签名为 1 到 30 个字" in connected.said()
    connected.post(f"{TAGS}/create", name="熟客")
    assert "已在微信新建标签「熟客」" in connected.said()
    [tag] = read(console, select(Tag).where(Tag.name == "熟客"))
    connected.post(f"{TAGS}/rules", when="bought:yes", name="熟客")
    connected.post(f"{TAGS}/read")
    assert read(console, select(TagRule.tag_id)) == [tag.tag_id]
    connected.post(f"{TAGS}/{tag.tag_id}/rename", name="老客户")
    assert read(console, select(TagRule.name)) == ["老客户"]
    connected.post(f"{TAGS}/{tag.tag_id}/delete", reason="不用了")
    assert "请先删掉规则" in connected.said()
    [rule] = read(console, select(TagRule.id))
    connected.post(f"{TAGS}/rules/{rule}/remove", reason="不用了")
    connected.post(f"{TAGS}/{tag.tag_id}/delete")
    assert "请写明原因" in connected.said()
    connected.post(f"{TAGS}/{tag.tag_id}/delete", reason="不用了")
    assert "已删除" in connected.said()
    assert read(console, select(Tag).where(Tag.tag_id == tag.tag_id)) == []
    assert [one for one in actions(console) if "rule" not in one] == [
        "tag_created", "tag_renamed", "tag_deleted",
    ]  # fmt: skip
    [own, *_] = read(console, select(Tag.tag_id).order_by(Tag.tag_id))
    connected.post(f"{TAGS}/{own}/rename", name="x")
    assert "微信自带的标签不能改" in connected.said()


def test_somebody_is_kept_out_by_code_and_let_in_again(
    console: Console, connected: Browser, account: OpenAccount, simulator: Simulator
) -> None:
    openid = simulator.post("/_sim/users", name="甲")["openids"][account.app_id]
    simulator.post("/_sim/follow", user=openid, wait=False)
    console.merchant.follow(account, openid)
    member = console.merchant.database.read(lambda s: members.get(s, account.id, openid))
    connected.post(f"{BLACKLIST}/add", who=member.code)
    assert "请写明原因" in connected.said()
    connected.post(f"{BLACKLIST}/add", who="没有这个人", reason="骂人")
    assert "请填 openid 或会员的邀请码" in connected.said()
    connected.post(f"{BLACKLIST}/add", who=member.code, reason="骂人")
    assert "已拉黑" in connected.said()
    html = connected.get(BLACKLIST).text
    assert f"/console/tea/members/{member.id}" in html
    connected.post(f"{BLACKLIST}/read")
    assert "黑名单里有 1 人" in connected.said()
    connected.post(f"{BLACKLIST}/remove", openid=openid, reason="道歉了")
    assert "黑名单是空的" in connected.get(BLACKLIST).text
    assert actions(console) == ["blacklisted", "unblacklisted"]


def test_sync_is_begun_once_and_its_progress_is_shown(console: Console, owner: Browser) -> None:
    assert "还没有同步过" in owner.get(FOLLOWERS).text
    for _ in range(2):
        owner.post(f"{FOLLOWERS}/sync")
    [row] = read(console, select(FollowerSync))
    assert actions(console) == ["followers_synced"]
    part = owner.client.get(FOLLOWERS, headers={"X-Fragment": "1"}).text
    assert part.strip().startswith("<div") or "data-poll" in part
    assert "<html" not in part
    console.merchant.database.transact(
        lambda session: followers.fail(session, row.id, "what nobody knows", console.now)
    )
    html = owner.get(FOLLOWERS).text
    assert "data-poll" not in html
    assert "what nobody knows" in html
