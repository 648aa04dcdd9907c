"""Every sentence for people: chat, notices, refusals, states. zh-CN, with named placeholders, replaceable per account.

A merchant's own wording may use the placeholders of the default and nothing else: no attributes, no indexes, no format
specifications, so that a wording can neither fail in front of a follower nor show what it should not.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from domain.errors import Invalid
from domain.models import TextOverride
from domain.money import yuan

CHINA: Final = timezone(timedelta(hours=8))
"""China has one time zone and no summer time."""
MAX_LENGTH: Final = 2000

TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # --- following and codes
        "follow.welcome": (
            "欢迎关注{account}。\n把「我的海报」发给朋友，朋友扫码关注后下单，您就有佣金。\n"
            "回复「帮助」看看能做什么。"
        ),
        "follow.bound": (
            "欢迎关注{account}，是 {referrer} 邀请了您。\n您也可以邀请朋友：回复「我的海报」。\n"
            "回复「帮助」看看能做什么。"
        ),
        "follow.again": "欢迎回来，您的团队和收益都还在。\n回复「帮助」看看能做什么。",
        "scan.bound": "好的，{referrer} 现在是您的邀请人。",
        "scan.seen": "您已经关注我们了。\n回复「帮助」看看能做什么。",
        "refused.self": "这是您自己的码，请发给朋友来扫。",
        "refused.cycle": "对方已经在您的团队里，不能再做您的邀请人。",
        "refused.unknown_scene": "这个码已经失效，请朋友重新发一张海报给您。",
        "refused.suspended": "这个码现在不能使用，您可以请另一位朋友发码给您。",
        "refused.bound_already": "您已经有邀请人了，绑定不会改变。",
        "refused.existing_follower": "您在扫码之前已经关注我们，所以这次不绑定邀请人。",
        "refused.team_too_large": "您的团队已经很大，更换邀请人请联系客服。",
        # --- words for parts
        "level.1": "一级",
        "level.2": "二级",
        "level.3": "三级",
        "state.frozen": "冻结中",
        "state.settled": "已结算",
        "state.voided": "已失效",
        "state.clawed_back": "已追回",
        "date.unknown": "没有记录",
        "date.latest": "最晚 {date} ",
        "date.open": "我们会尽快",
        "grade.none": "普通会员",
        # --- why a commission is being reviewed: never an accusation
        "risk.churn": "近期有较多新朋友关注后又离开",
        "risk.velocity": "短时间内有很多新朋友加入",
        "risk.shared_payer": "几位朋友的订单由同一人付款",
        "risk.shared_phone": "几位朋友的订单使用同一个电话",
        "risk.shared_address": "几位朋友的订单寄往同一个地址",
        "risk.self_paid": "有朋友的订单由您付款",
        "risk.ring": "几位互相邀请的会员近期都有订单",
        "risk.refunds": "近期有较多订单退款",
        "risk.same_phone": "几位会员用同一个电话提现",
        "risk.same_name": "几位会员用同一个姓名提现",
        "risk.chain_people": "一条推荐链上的人数达到提醒线",
        # --- my team, my earnings
        "team.head": "我的团队 {people} 人\n还在关注 {following} 人\n买过东西 {buyers} 人\n一共消费 ¥{spent}",
        "team.level": "{level} {people} 人\n　关注 {following}，买过 {buyers}，消费 ¥{spent}",
        "team.empty": "您的团队还没有人。\n把「我的海报」发给朋友，朋友扫码关注后就会出现在这里。",
        "earnings": (
            "可提现 ¥{available}\n冻结中 ¥{frozen}\n提现中 ¥{withdrawing}\n累计收益 ¥{earned}\n\n"
            "我的团队 {people} 人，买过 {buyers} 人\n{levels}\n\n回复「明细」看每一笔，回复「为什么」看怎么算的。"
        ),
        "earnings.debt": "有 ¥{debt} 待抵扣：已结算的订单退了款。之后的佣金会先补上它。",
        # --- commissions one by one
        "commissions.none": "还没有佣金。\n朋友扫您的海报关注并下单后，这里会有记录。",
        "commissions.head": "最近 {count} 笔佣金",
        "commissions.row": "{n}. ¥{amount} {level} {state}\n　{date} 订单 {order_no}",
        "commissions.registration_row": "{n}. ¥{amount} 邀请奖励 {state}\n　{date}",
        "commissions.foot": "回复「为什么 1」看第 1 笔是怎么算的。",
        "commissions.frozen_until": "冻结中，{date} 起结算",
        "commissions.frozen_open": "冻结中，订单完成后再过冻结期结算",
        "commissions.held": "冻结中，正在复核",
        "commissions.settled_on": "{date} 已结算",
        # --- why
        "why.head": "{level}佣金 ¥{amount}，这样算出来：",
        "why.order": "订单 {order_no}\n{title}，{paid_at} 付款",
        "why.buyer": "买家 {friend} 是您的{level}朋友，{bound_at} 绑定",
        "why.own": "这是您自己的订单，按规则自购也有佣金",
        "why.rule": "规则 {effective_at} 起生效（编号 {rule}），{level}比例 {rate}",
        "why.product": "这件商品有自己的比例：{level} {rate}",
        "why.share": "{pool}，其中{level}分 {part}",
        "why.sum": "计佣金额 ¥{base} × {rate} = ¥{exact}",
        "why.rounded": "不足一分的部分舍去，得 ¥{amount}",
        "why.taken": "订单退了款，相应收回 ¥{taken}，还有 ¥{kept}",
        "why.state": "现在：{state}",
        "why.registration": "邀请新朋友 {friend} 的奖励 ¥{amount}：定额，只奖励直接邀请人",
        "why.grade": "您当时的等级「{grade}」有自己的比例",
        "why.capped": "规则规定每笔佣金最多 ¥{cap}，所以是 ¥{amount}",
        "why.held": "复核原因：{reason}，{until}有结果",
        "why.refused": "经复核不予结算：{reason}。有疑问请联系客服，我们会再看一遍",
        "why.left": "{friend} 在奖励到期前取消了关注，奖励失效",
        "why.no_such": "没有第 {n} 笔。回复「明细」看有哪些。",
        "why.nothing": "您还没有佣金。\n朋友扫您的海报关注并下单后，再来问我。",
        "why.none_head": "订单 {order_no}（{paid_at} 付款，¥{paid}）没有给您带来佣金：",
        "nobody.no_upline": "下单时您还不是买家的邀请人，佣金只按下单那一刻的绑定计算",
        "nobody.depth": "下单时的规则不奖励{level}朋友的订单",
        "nobody.suspended": "下单时您的推广资格已暂停",
        "nobody.not_qualified": "下单时您还没有推广资格",
        "nobody.no_rate": "下单时的规则里，{level}比例是 0",
        "nobody.rounds_to_zero": "¥{base} × {rate} 不足一分，舍去后是 ¥0.00",
        "nobody.buyer_unknown": "下单时还不知道买家是谁",
        "nobody.no_rule": "下单时还没有生效的佣金规则",
        # --- asking for money
        "withdraw.how": (
            "可提现 ¥{available}。\n回复「提现」加上金额（元），例如：提现 50\n全部提出就回复：提现 全部"
        ),
        "withdraw.too_little": "可提现 ¥{available}，满 ¥{min} 就可以提现。",
        "withdraw.unclear": "没看懂金额。请这样回复：提现 50，或者 提现 50.5（单位是元）",
        "withdraw.requested": "收到，提现 ¥{amount} 的申请已提交，正在审核。",
        "withdraw.approved": "收到，提现 ¥{amount} 已通过，马上打款。",
        "withdraw.parts": "手续费 ¥{fee}，代扣个税 ¥{tax}，到手 ¥{net}。",
        "withdraw.foot": "回复「提现进度」随时查看。",
        "withdraw.range": "一次可以提现 ¥{min} 到 ¥{max}。",
        "withdraw.not_enough": "可提现 ¥{available}，不够提现 ¥{amount}。",
        "withdraw.per_day": "每天最多提现 {count} 次，今天的已经用完，请明天再来。",
        "withdraw.day_sum": "每天最多提现 ¥{sum}，加上这一笔就超过了，请少提一些，或者明天再来。",
        "withdraw.suspended": "您的推广资格已暂停，现在不能提现。有疑问请联系客服。",
        "withdraw.too_small": "扣除手续费和个税后不到 ¥{min}，请多提一些。",
        "withdraw.name": (
            "单笔 ¥{from} 及以上，微信支付要核对收款人的真实姓名。\n"
            "请先回复「实名」加上您的姓名，例如：实名 张三\n或者少提一些。"
        ),
        "real_name.done": "好的，姓名已加密保存，只用于微信支付核对收款人。",
        "real_name.help": "请回复「实名」加上您的真实姓名，例如：实名 张三",
        # --- where the money is
        "withdrawals.none": "您还没有提现过。\n回复「提现」看看可以提多少。",
        "withdrawals.head": "最近 {count} 次提现",
        "withdrawals.row": "{n}. ¥{amount}（{date}）\n　{state}",
        "withdrawal.requested": "待审核",
        "withdrawal.approved": "已通过，等待打款",
        "withdrawal.rejected": "已驳回：{reason}。金额已退回可提现",
        "withdrawal.paying": "打款中，¥{net} 正在路上",
        "withdrawal.confirm": "请在微信里确认收款 ¥{net}，{until} 前有效",
        "withdrawal.paid": "{date} 已打款 ¥{net}",
        "withdrawal.failed": "没有成功：{reason}。金额已退回可提现，可以再提一次",
        "failure.OVERDUE_CLOSE": "24 小时内没有确认收款",
        "failure.USER_REFUSED": "您没有接收这笔转账",
        "failure.NAME_NOT_CORRECT": "登记的姓名与微信实名不一致",
        "failure.REAL_NAME_CHECK_FAIL": "微信账户还没有实名认证",
        "failure.ACCOUNT_FROZEN": "收款的微信账户被冻结",
        "failure.TRANSFER_QUOTA_EXCEED": "超过了微信账户的收款限额",
        "failure.other": "微信支付没有完成这笔转账",
        # --- name, notices on and off, poster
        "nickname.done": "好的，{name}。朋友会看到这个名字。",
        "nickname.help": "回复「昵称」加上您的名字，例如：昵称 小明",
        "mute.on": "好的，不再给您发通知，收益照常累计。\n想恢复就回复「订阅」。",
        "mute.off": "好的，有新朋友和新佣金会通知您。\n不想收就回复「退订」。",
        "poster.coming": "正在制作您的海报，马上就发给您。",
        "poster.suspended": "您的推广资格已暂停，现在不能制作海报。有疑问请联系客服。",
        # --- warnings for the merchant (platform.md 13)
        "warning.registration": (
            "拉新奖励按人头给钱。微信公告（2015-02-26、2016-09-12）把按发展下线人数计酬列为违规，账号可能被限制功能直至永久封禁；"
            "《禁止传销条例》第七条也禁止以发展人员数量计酬。请先咨询法律意见，金额和每日上限由您自负其责。"
        ),
        # --- promoters
        "promoter.applied": "收到您的推广申请，审核后会通知您。",
        "promoter.waiting": "您的推广申请正在审核，请稍等。",
        "promoter.is_one": "您已经是推广员，把「我的海报」发给朋友就可以了。",
        "promoter.open": "不用申请，人人都可以推广：回复「我的海报」就可以开始。",
        "promoter.first_order": "买过一单就自动成为推广员，不用申请。",
        "promoter.spent": "累计消费满 ¥{amount} 就自动成为推广员，不用申请。",
        "promoter.suspended": "您的推广资格已暂停，有疑问请联系客服。",
        "earnings.not_qualified": "您还没有推广资格，朋友下单暂时没有佣金。回复「申请推广」看怎么获得。",
        "help.apply": "「申请推广」成为推广员",
        # --- ranking
        "ranking.none": "排行榜还没有出来，过一会儿再来看。",
        "ranking.week": "本周排行",
        "ranking.month": "本月排行",
        "ranking.all": "总排行",
        "ranking.earned": "佣金榜",
        "ranking.people": "邀请榜",
        "ranking.mine_earned": "您第 {place} 名，共 {size} 人，佣金 ¥{value}{change}",
        "ranking.mine_people": "您第 {place} 名，共 {size} 人，邀请 {value} 人{change}",
        "ranking.not_on_it": "您还没有上榜，共 {size} 人",
        "ranking.up": "，比上期上升 {n} 位",
        "ranking.down": "，比上期下降 {n} 位",
        "ranking.same": "，和上期一样",
        "ranking.row_earned": "{place}. {name} ¥{value}",
        "ranking.row_people": "{place}. {name} {value} 人",
        "ranking.foot": "回复「排行 月」看本月，「排行 总」看总排行。",
        # --- disputes
        "dispute.help": (
            "朋友是您邀请的，却没有绑定到您？\n"
            "回复「申诉」加上说明，例如：申诉 小王是我邀请的，6月1日扫的码"
        ),
        "dispute.opened": "收到您的申诉，工作人员会核实，有结果就告诉您。\n要补充说明，再回复「申诉」加上内容。",
        "dispute.added": "已补充到您的申诉里。",
        "dispute.enough": "您的说明已经够多了，请等工作人员核实。",
        "dispute.too_long": "说明太长了，请在 {limit} 字以内。",
        "dispute.open": "您 {date} 的申诉正在核实。\n要补充说明，回复「申诉」加上内容。",
        "dispute.upheld": "您 {date} 的申诉已通过：{answer}",
        "dispute.rejected": "您 {date} 的申诉没有通过：{answer}",
        # --- help and everything else
        "help.head": "您可以点菜单，或者回复：",
        "help.team": "「我的团队」各级有多少朋友",
        "help.earnings": "「我的收益」余额和团队",
        "help.commissions": "「明细」最近的佣金",
        "help.why": "「为什么」佣金怎么算的",
        "help.withdraw": "「提现 50」提出佣金",
        "help.real_name": "「实名 张三」大额提现前登记姓名",
        "help.withdrawals": "「提现进度」钱到哪一步了",
        "help.poster": "「我的海报」发给朋友扫码",
        "help.ranking": "「排行」本周佣金榜和邀请榜",
        "help.dispute": "「申诉」朋友的绑定有误时告诉我们",
        "help.nickname": "「昵称 小明」换一个名字",
        "help.mute": "「退订」不收通知，「订阅」恢复",
        "help.help": "「帮助」再看一遍",
        "fallback": "收到，谢谢。\n回复「帮助」看看我能做什么。",
        "fallback.media": "收到，谢谢。我只看得懂文字。\n回复「帮助」看看我能做什么。",
        "busy": "系统有点忙，请过一会儿再试。",
        # --- notices
        "notice.friend_joined": "新朋友 {friend} 加入了您的团队",
        "notice.referrer_changed": "工作人员把您的邀请人改为 {friend}。之前的订单不变。",
        "notice.referrer_cleared": "工作人员取消了您的邀请人。之前的订单不变。",
        "notice.friend_moved": "经核实，{friend} 不再是您邀请的朋友。之前的佣金不变。",
        "notice.dispute_decided": "申诉有了结果：{answer}",
        "notice.commission_accrued": "{level}朋友 {friend} 下单 ¥{paid}，您得到佣金 ¥{amount}，冻结中",
        "notice.commission_settled": "{count} 笔佣金共 ¥{amount} 已结算，可以提现",
        "notice.commission_voided": "订单 {order_no} 退款，冻结中的佣金 ¥{amount} 失效",
        "notice.commission_clawed_back": "订单 {order_no} 退款，已结算的佣金 ¥{amount} 被追回",
        "notice.withdrawal_requested": "提现 ¥{amount} 的申请已收到",
        "notice.withdrawal_approved": "提现 ¥{amount} 已通过，等待打款",
        "notice.withdrawal_rejected": "提现 ¥{amount} 已驳回：{reason}。金额已退回可提现",
        "notice.withdrawal_confirm": "提现到账 ¥{net}，请在 {confirm_by} 前确认收款",
        "notice.withdrawal_remind": "还没有确认收款 ¥{net}，{confirm_by} 之后会退回",
        "notice.withdrawal_paid": "提现 ¥{amount} 已打款，到手 ¥{net}",
        "notice.withdrawal_failed": "提现 ¥{amount} 没有成功：{failure}。金额已退回可提现",
        "notice.registration_reward": "新朋友 {friend} 关注了我们，您得到邀请奖励 ¥{amount}，{days} 天后结算",
        "notice.registration_voided": "{friend} 取消了关注，邀请奖励 ¥{amount} 失效",
        "notice.commission_held": "您有佣金正在例行复核：{reason}。复核期间暂不结算，{until}有结果，不影响您继续推广",
        "notice.commission_released": "复核完成，{count} 笔佣金恢复正常，到期照常结算，谢谢您的耐心",
        "notice.commission_refused": "{count} 笔佣金共 ¥{amount} 经复核不予结算：{reason}。有疑问请联系客服",
        "notice.grade_up": "恭喜，您的等级升为「{grade}」，之后的订单按新等级计佣",
        "notice.grade_down": "您的等级由「{before}」变为「{grade}」，已有的佣金不变",
        "notice.promoter_approved": "您的推广申请通过了，回复「我的海报」就可以开始",
        "notice.promoter_rejected": "您的推广申请没有通过：{reason}。您可以再次申请",
        "notice.promoter_suspended": "您的推广资格已暂停：{reason}。已有的收益不变，有疑问请联系客服",
        "notice.promoter_reinstated": "您的推广资格已恢复，朋友的新订单照常有佣金",
    }
)


def _placeholders(body: str) -> set[str]:
    """The names a text uses; `Invalid` for anything but a plain `{name}`."""
    names = set()
    try:
        parts = list(string.Formatter().parse(body))
    except ValueError as error:
        raise Invalid(f"the braces do not match: {error}") from error
    for _, name, specification, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or specification or conversion:
            raise Invalid("a placeholder is a name in braces", placeholder=name)
        names.add(name)
    return names


PLACEHOLDERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {key: frozenset(_placeholders(body)) for key, body in TEXTS.items()}
)


def render(key: str, overrides: Mapping[str, str], **values: object) -> str:
    """The text of `key` in the merchant's wording, or ours."""
    return (overrides.get(key) or TEXTS[key]).format_map(values)


class Words:
    """The texts of one account: `words("level.1")`, `words("scan.bound", referrer="小明")`."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self.overrides: Mapping[str, str] = overrides or {}

    def __call__(self, key: str, **values: object) -> str:
        return render(key, self.overrides, **values)

    def notice(self, occasion: str, params: Mapping[str, Any]) -> str:
        """The sentence of a notice, from the parameters it was written with."""
        return self(f"notice.{occasion}", **self.values_of(params))

    def failure(self, code: str) -> str:
        """Why WeChat Pay did not pay: its fail_reason in words."""
        key = f"failure.{code}"
        return self(key if key in TEXTS else "failure.other")

    def values_of(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Stored parameters as people read them: `amount_fen` 299 is `amount` "2.99", instants are China's time."""
        values = {}
        for name, value in params.items():
            if name.endswith("_fen"):
                values[name.removesuffix("_fen")] = yuan(value)
            elif name in {"at", "confirm_by"}:
                values[name] = minute(datetime.fromisoformat(value))
            elif name in {"level", "failure"}:
                values[name] = self(f"level.{value}") if name == "level" else self.failure(value)
            elif name == "signal":
                values["reason"] = self(f"risk.{value}")
            elif name == "until":
                values[name] = self.by(value and datetime.fromisoformat(value))
            elif name in {"grade", "before"}:
                values[name] = value or self("grade.none")
            else:
                values[name] = str(value)
        return values

    def by(self, instant: datetime | None) -> str:
        """By when something will be known."""
        return self("date.open") if instant is None else self("date.latest", date=day(instant))


def day(instant: datetime) -> str:
    """A date for people: 2026-11-22, in China's time."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d")


def minute(instant: datetime) -> str:
    """An instant for people: 2026-11-22 09:30, in China's time."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d %H:%M")


# --- the merchant's own wording -------------------------------------------------------------------------------------


def check_override(key: str, body: str) -> None:
    """`Invalid` for an unknown text, an empty or too long wording, or placeholders that the default does not have."""
    if key not in TEXTS:
        raise Invalid("no such text", key=key)
    if not body.strip() or len(body) > MAX_LENGTH:
        raise Invalid(f"a wording has 1 to {MAX_LENGTH} characters", key=key)
    unknown = sorted(_placeholders(body) - PLACEHOLDERS[key])
    if unknown:
        known = sorted(PLACEHOLDERS[key])
        raise Invalid("unknown placeholders", key=key, unknown=unknown, known=known)


def set_override(session: Session, account_id: int, key: str, body: str | None) -> None:
    """Use the merchant's wording from now on, or the default again (None). Raises `Invalid`."""
    if body is None:
        session.execute(
            delete(TextOverride).where(
                TextOverride.account_id == account_id, TextOverride.text_key == key
            )
        )
        return
    check_override(key, body)
    row = session.get(TextOverride, (account_id, key))
    if row is None:
        row = TextOverride(account_id=account_id, text_key=key)
        session.add(row)
    row.body = body
    session.flush()


def overrides_of(session: Session, account_id: int) -> dict[str, str]:
    """The account's wordings that are usable today: one that an upgrade made impossible gives way to the default."""
    usable = {}
    for row in session.scalars(select(TextOverride).where(TextOverride.account_id == account_id)):
        try:
            check_override(row.text_key, row.body)
        except Invalid:
            continue
        usable[row.text_key] = row.body
    return usable
