"""English, plain and polite: the same keys and placeholders as zh_cn.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    # --- following and codes
    "follow.welcome": (
        "Welcome to {account}.\nSend your poster to friends: when they scan it, follow us and order, you earn a"
        " commission.\nReply “help” to see what I can do."
    ),
    "follow.bound": (
        "Welcome to {account}. {referrer} invited you.\nYou can invite friends too: reply “poster”.\n"
        "Reply “help” to see what I can do."
    ),
    "follow.again": "Welcome back. Your team and your earnings are still here.\nReply “help” to see what I can do.",
    "scan.bound": "All right, {referrer} is now the friend who invited you.",
    "scan.seen": "You follow us already.\nReply “help” to see what I can do.",
    "refused.self": "This is your own code. Please send it to a friend to scan.",
    "refused.cycle": "This person is in your team already and cannot be the one who invited you.",
    "refused.unknown_scene": "This code is no longer valid. Please ask your friend for a new poster.",
    "refused.suspended": "This code cannot be used at the moment. You could ask another friend for theirs.",
    "refused.bound_already": "Somebody has invited you already, and that does not change.",
    "refused.existing_follower": "You followed us before you scanned this code, so it does not bind you to anybody.",
    "refused.team_too_large": "Your team is very large by now. Please ask our staff to change who invited you.",
    # --- words for parts
    "level.1": "Level 1",
    "level.2": "Level 2",
    "level.3": "Level 3",
    "state.frozen": "frozen",
    "state.settled": "settled",
    "state.voided": "void",
    "state.clawed_back": "taken back",
    "date.unknown": "no record",
    "date.latest": "by {date} at the latest",
    "date.open": "as soon as we can",
    "grade.none": "member",
    # --- why a commission is being reviewed: never an accusation
    "risk.churn": "many new friends followed and left again recently",
    "risk.velocity": "many new friends joined within a short time",
    "risk.shared_payer": "one person paid for the orders of several friends",
    "risk.shared_phone": "the orders of several friends use one phone number",
    "risk.shared_address": "the orders of several friends go to one address",
    "risk.self_paid": "you paid for some of your friends' orders",
    "risk.ring": "several members who invited one another ordered recently",
    "risk.refunds": "many orders were refunded recently",
    "risk.same_phone": "several members withdraw with one phone number",
    "risk.same_name": "several members withdraw under one name",
    "risk.chain_people": "the number of people in one chain has reached the reminder line",
    # --- my team, my earnings
    "team.head": "My team: {people}\nStill following: {following}\nHave ordered: {buyers}\nSpent in all: ¥{spent}",
    "team.level": "{level}: {people}\n  following {following}, ordered {buyers}, spent ¥{spent}",
    "team.empty": "Nobody is in your team yet.\nSend your poster to friends: who scans it and follows appears here.",
    "earnings": (
        "Available ¥{available}\nFrozen ¥{frozen}\nBeing withdrawn ¥{withdrawing}\nEarned in all ¥{earned}\n\n"
        "My team: {people}, of whom {buyers} have ordered\n{levels}\n\n"
        "Reply “details” for each commission, “why” for how it is computed."
    ),
    "earnings.debt": (
        "¥{debt} is to be made up for: settled orders were "
        "refunded. Your next commissions fill it first."
    ),
    # --- commissions one by one
    "commissions.none": "No commissions yet.\nThey appear here when friends scan your poster, follow and order.",
    "commissions.head": "Your last {count} commissions",
    "commissions.row": "{n}. ¥{amount} {level}, {state}\n  {date}, order {order_no}",
    "commissions.registration_row": "{n}. ¥{amount} invitation reward, {state}\n  {date}",
    "commissions.foot": "Reply “why 1” to see how the first one is computed.",
    "commissions.frozen_until": "frozen, settles from {date}",
    "commissions.frozen_open": "frozen, settles some days after the order is completed",
    "commissions.held": "frozen, under review",
    "commissions.settled_on": "settled on {date}",
    # --- why
    "why.head": "{level} commission of ¥{amount}, computed like this:",
    "why.order": "Order {order_no}\n{title}, paid {paid_at}",
    "why.buyer": "The buyer {friend} is your {level} friend, bound {bound_at}",
    "why.own": "This is your own order; by the rules you earn on your own purchases too",
    "why.rule": "Rule in force since {effective_at} (no. {rule}): {level} {rate}",
    "why.product": "This product has a rate of its own: {level} {rate}",
    "why.share": "{pool}, of which {level} gets {part}",
    "why.sum": "Commissionable amount ¥{base} × {rate} = ¥{exact}",
    "why.rounded": "Parts of a fen are dropped: ¥{amount}",
    "why.taken": "The order was refunded: ¥{taken} was taken back, ¥{kept} is left",
    "why.state": "Now: {state}",
    "why.registration": "Reward of ¥{amount} for inviting {friend}: a fixed sum, for the direct inviter only",
    "why.grade": "Your grade then, “{grade}”, has a rate of its own",
    "why.capped": "The rule allows at most ¥{cap} for one commission, so it is ¥{amount}",
    "why.held": "Reason of the review: {reason}; result {until}",
    "why.refused": "After a review it will not be settled: {reason}. Please write to us if you have questions",
    "why.left": "{friend} stopped following before the reward was due, so it is void",
    "why.no_such": "There is no commission {n}. Reply “details” to see which there are.",
    "why.nothing": "You have no commissions yet.\nAsk me again when friends have scanned your poster and ordered.",
    "why.none_head": "Order {order_no} (paid {paid_at}, ¥{paid}) brought you no commission:",
    "nobody.no_upline": (
        "when it was ordered you were not the one who invited the buyer; what counts is that moment"
    ),
    "nobody.depth": "the rule at that time pays nothing for orders of {level} friends",
    "nobody.suspended": "you could not promote at that time",
    "nobody.not_qualified": "you were no promoter at that time",
    "nobody.no_rate": "the {level} rate of the rule at that time is 0",
    "nobody.rounds_to_zero": "¥{base} × {rate} is less than one fen, so it is ¥0.00",
    "nobody.buyer_unknown": "nobody knew at that time who the buyer is",
    "nobody.no_rule": "no commission rule was in force at that time",
    # --- asking for money
    "withdraw.how": (
        "Available: ¥{available}.\nReply “withdraw” and an amount in yuan, for example: withdraw 50\n"
        "For all of it reply: withdraw all"
    ),
    "withdraw.too_little": "Available: ¥{available}. You can withdraw from ¥{min}.",
    "withdraw.unclear": (
        "I could not read the amount. Please reply like this: "
        "withdraw 50, or withdraw 50.5 (in yuan)"
    ),
    "withdraw.requested": "Thank you. Your request for ¥{amount} is being reviewed.",
    "withdraw.approved": "Thank you. ¥{amount} is approved and will be paid at once.",
    "withdraw.parts": "Fee ¥{fee}, income tax ¥{tax}, you receive ¥{net}.",
    "withdraw.foot": "Reply “progress” at any time to see where it is.",
    "withdraw.range": "You can withdraw ¥{min} to ¥{max} at a time.",
    "withdraw.not_enough": "Available: ¥{available}, which is less than ¥{amount}.",
    "withdraw.per_day": "You can withdraw {count} times a day, and have done so today. Please come back tomorrow.",
    "withdraw.day_sum": "With this one it would be more than ¥{sum} today. Please ask for less, or tomorrow.",
    "withdraw.suspended": "You cannot promote or withdraw at the moment. Please write to us if you have questions.",
    "withdraw.too_small": "After fee and tax less than ¥{min} is left. Please withdraw a little more.",
    "withdraw.name": (
        "From ¥{from} on, WeChat Pay checks the real name of who receives it.\n"
        "Please reply “real name” and your name first, for example: real name 张三\nOr withdraw a little less."
    ),
    "real_name.done": "Thank you. Your name is kept encrypted, only for WeChat Pay to check who receives the money.",
    "real_name.help": "Please reply “real name” and your real name, for example: real name 张三",
    # --- where the money is
    "withdrawals.none": "You have not withdrawn anything yet.\nReply “withdraw” to see how much you can.",
    "withdrawals.head": "Your last {count} withdrawals",
    "withdrawals.row": "{n}. ¥{amount} ({date})\n  {state}",
    "withdrawal.requested": "waiting for review",
    "withdrawal.approved": "approved, to be paid",
    "withdrawal.rejected": "declined: {reason}. The amount is available again",
    "withdrawal.paying": "¥{net} is on its way",
    "withdrawal.confirm": "please accept ¥{net} in WeChat before {until}",
    "withdrawal.paid": "¥{net} paid on {date}",
    "withdrawal.failed": "not paid: {reason}. The amount is available again and you can try once more",
    "failure.OVERDUE_CLOSE": "it was not accepted within 24 hours",
    "failure.USER_REFUSED": "you did not accept the transfer",
    "failure.NAME_NOT_CORRECT": "the name we have is not the one WeChat knows",
    "failure.REAL_NAME_CHECK_FAIL": "the WeChat account has no verified name yet",
    "failure.ACCOUNT_FROZEN": "the receiving WeChat account is frozen",
    "failure.TRANSFER_QUOTA_EXCEED": "it exceeds what the WeChat account may receive",
    "failure.other": "WeChat Pay did not complete the transfer",
    # --- name, notices on and off, poster
    "nickname.done": "All right, {name}. Your friends will see this name.",
    "nickname.help": "Reply “nickname” and your name, for example: nickname Ming",
    "mute.on": "All right, no more notices; your earnings go on as before.\nReply “subscribe” to have them back.",
    "mute.off": "All right, you will hear of new friends and commissions.\nReply “unsubscribe” to stop them.",
    "mute.promotions_on": (
        "All right, no more promotions; you still hear of your earnings.\n"
        "Reply “subscribe promotions” to have them back."
    ),
    "mute.promotions_off": (
        "All right, you will hear of promotions.\nReply “unsubscribe promotions” to stop them."
    ),
    "poster.coming": "Your poster is being made and will be here in a moment.",
    "poster.suspended": "You cannot promote at the moment, so there is no poster. Please ask us if in doubt.",
    # --- warnings for the merchant (platform.md 13)
    "warning.registration": (
        "A registration reward pays by the head. WeChat's notices (2015-02-26, 2016-09-12) name paying by the number of"
        " people recruited as a violation: functions of the account may be limited, up to a permanent ban. Article 7 of"
        " the Regulation on Prohibiting Pyramid Selling forbids it too. Please ask for legal advice first; the sum and"
        " the daily limit are your own responsibility."
    ),
    # --- promoters
    "promoter.applied": "We have your application and will tell you the result.",
    "promoter.waiting": "Your application is being reviewed. Please wait a little.",
    "promoter.is_one": "You are a promoter already. Just send your poster to friends.",
    "promoter.open": "No need to apply, everybody can promote: reply “poster” to begin.",
    "promoter.first_order": "You become a promoter with your first order, without applying.",
    "promoter.spent": "You become a promoter when you have spent ¥{amount}, without applying.",
    "promoter.suspended": "You cannot promote at the moment. Please write to us if you have questions.",
    "earnings.not_qualified": (
        "You are no promoter yet, so your friends' orders bring no commission. Reply “apply” to see how."
    ),
    "help.apply": "“apply” become a promoter",
    # --- ranking
    "ranking.none": "There is no ranking yet. Please look again a little later.",
    "ranking.week": "Ranking of this week",
    "ranking.month": "Ranking of this month",
    "ranking.all": "Ranking of all time",
    "ranking.earned": "By commission",
    "ranking.people": "By friends invited",
    "ranking.mine_earned": "You are number {place} of {size}, ¥{value}{change}",
    "ranking.mine_people": "You are number {place} of {size}, {value} invited{change}",
    "ranking.not_on_it": "You are not among the {size} yet",
    "ranking.up": ", up {n}",
    "ranking.down": ", down {n}",
    "ranking.same": ", unchanged",
    "ranking.row_earned": "{place}. {name} ¥{value}",
    "ranking.row_people": "{place}. {name} {value}",
    "ranking.foot": "Reply “ranking month” for this month, “ranking all” for all time.",
    # --- disputes
    "dispute.help": (
        "You invited a friend who is not bound to you?\n"
        "Reply “dispute” and what happened, for example: dispute I invited Wang, who scanned my code on 1 June"
    ),
    "dispute.opened": "We have your objection and will tell you more.\nTo add to it, reply “dispute” and the text.",
    "dispute.added": "Added to your objection.",
    "dispute.enough": "You have told us enough. Please wait until our staff have looked into it.",
    "dispute.too_long": "That is too long. Please use at most {limit} characters.",
    "dispute.open": "Your objection of {date} is being looked into.\nTo add something, reply “dispute” and the text.",
    "dispute.upheld": "Your objection of {date} was accepted: {answer}",
    "dispute.rejected": "Your objection of {date} was not accepted: {answer}",
    # --- help and everything else
    "help.head": "Use the menu, or reply:",
    "help.team": "“my team” friends on each level",
    "help.earnings": "“my earnings” balance and team",
    "help.commissions": "“details” your last commissions",
    "help.why": "“why” how a commission is computed",
    "help.withdraw": "“withdraw 50” get your money",
    "help.real_name": "“real name 张三” before large withdrawals",
    "help.withdrawals": "“progress” where your money is",
    "help.poster": "“poster” for friends to scan",
    "help.ranking": "“ranking” of this week",
    "help.dispute": "“dispute” when a friend is bound to somebody else",
    "help.nickname": "“nickname Ming” take another name",
    "help.mute": "“unsubscribe” no notices, “unsubscribe promotions” no promotions, “subscribe” both again",
    "help.language": "“language 中文” another language",
    "help.help": "“help” this list again",
    "fallback": "Thank you, we have your message.\nReply “help” to see what I can do.",
    "fallback.media": "Thank you. I can only read text.\nReply “help” to see what I can do.",
    "busy": "The system is a little busy. Please try again in a moment.",
    # --- notices
    "notice.friend_joined": "{friend} has joined your team",
    "notice.referrer_changed": "Our staff have changed who invited you to {friend}. Earlier orders stay as they are.",
    "notice.referrer_cleared": "Our staff have removed who invited you. Earlier orders stay as they are.",
    "notice.friend_moved": (
        "After a check, {friend} no longer counts as invited by you. Earlier commissions stay as they are."
    ),
    "notice.dispute_decided": "Your objection has been decided: {answer}",
    "notice.commission_accrued": (
        "{level} friend {friend} ordered for ¥{paid}: a commission of ¥{amount} for you, still frozen"
    ),
    "notice.commission_settled": "{count} commissions, ¥{amount} in all, are settled and can be withdrawn",
    "notice.commission_voided": "Order {order_no} was refunded: the frozen commission of ¥{amount} is void",
    "notice.commission_clawed_back": (
        "Order {order_no} was refunded: the settled commission of ¥{amount} is taken back"
    ),
    "notice.withdrawal_requested": "We have your request to withdraw ¥{amount}",
    "notice.withdrawal_approved": "Your withdrawal of ¥{amount} is approved and will be paid",
    "notice.withdrawal_rejected": (
        "Your withdrawal of ¥{amount} was declined: {reason}. The amount is available again"
    ),
    "notice.withdrawal_confirm": "¥{net} is waiting for you: please accept it before {confirm_by}",
    "notice.withdrawal_remind": "You have not accepted ¥{net} yet; it goes back after {confirm_by}",
    "notice.withdrawal_paid": "Your withdrawal of ¥{amount} is paid, you receive ¥{net}",
    "notice.withdrawal_failed": "Your withdrawal of ¥{amount} was not paid: {failure}. The amount is available again",
    "notice.registration_reward": (
        "{friend} followed us: a reward of ¥{amount} for inviting them, settled in {days} days"
    ),
    "notice.registration_voided": "{friend} stopped following: the invitation reward of ¥{amount} is void",
    "notice.commission_held": (
        "Some of your commissions are under a routine review: {reason}. They are not settled meanwhile; result {until}."
        " You can go on promoting"
    ),
    "notice.commission_released": "The review is over: {count} commissions settle as usual. Thank you",
    "notice.commission_refused": (
        "After a review {count} commissions, ¥{amount} in all, will not be settled: {reason}."
        " Please write to us if you have questions"
    ),
    "notice.grade_up": "Congratulations: your grade is now “{grade}”, which counts for new orders",
    "notice.grade_down": "Your grade has changed from “{before}” to “{grade}”; commissions so far stay as they are",
    "notice.promoter_approved": "Your application is accepted: reply “poster” to begin",
    "notice.promoter_rejected": "Your application was not accepted: {reason}. You may apply again",
    "notice.promoter_suspended": (
        "You cannot promote at the moment: {reason}. What you have earned stays."
        " Please write to us if you have questions"
    ),
    "notice.promoter_reinstated": "You can promote again: new orders of your friends bring commissions as before",
    # --- notices that tell several at once
    "notice.friends_joined": "{count} new friends have joined your team: {friends}",
    "notice.commissions_accrued": "{count} new commissions, ¥{amount} in all, frozen. Reply “details” to see each",
    "notice.team_digest": (
        "From your team: {count} new level 2 and 3 commissions, ¥{amount} in all, still frozen."
        " Reply “details” to see each"
    ),
    "notice.notice_test": "This is a test: if you can read it, notices reach you",
    "friends.more": "{friends} and more",
    # --- notices that no channel took, shown at the next visit
    "inbox.head": "You have {count} new messages:",
    "inbox.row": "· {text}",
    "inbox.more": "There are {count} more for next time.",
    # --- language
    "language.name": "English",
    "language.now": "You are reading {language}.\nReply “语言 简体”, “語言 繁體” or “language English” to change it.",
    "language.done": "All right, {language} from now on.",
    "list.comma": ", ",
    # --- cards: what happened, how it stands; fields that take Chinese only are filled in Chinese
    "card.amount": "¥{amount}",
    "title.friend_joined": "New friend",
    "title.referrer_changed": "Inviter changed",
    "title.referrer_cleared": "Inviter removed",
    "title.friend_moved": "Friend moved",
    "title.dispute_decided": "Objection decided",
    "title.commission_accrued": "New commission",
    "title.commission_settled": "Settled",
    "title.commission_voided": "Commission void",
    "title.commission_clawed_back": "Taken back",
    "title.withdrawal_requested": "Request received",
    "title.withdrawal_approved": "Approved",
    "title.withdrawal_rejected": "Declined, refunded",
    "title.withdrawal_confirm": "Accept in 24 hours",
    "title.withdrawal_remind": "Please accept soon",
    "title.withdrawal_paid": "Withdrawal paid",
    "title.withdrawal_failed": "Not paid, refunded",
    "title.registration_reward": "Invitation reward",
    "title.registration_voided": "Reward void",
    "title.commission_held": "Routine review",
    "title.commission_released": "Review over",
    "title.commission_refused": "Will not be settled",
    "title.grade_up": "Grade up",
    "title.grade_down": "Grade changed",
    "title.promoter_approved": "Application accepted",
    "title.promoter_rejected": "Not accepted",
    "title.promoter_suspended": "Promotion paused",
    "title.promoter_reinstated": "Promotion resumed",
    "title.risk_alert": "Risk signal",
    "title.friends_joined": "New friends",
    "title.commissions_accrued": "New commissions",
    "title.team_digest": "Team commissions",
    "title.notice_test": "Test notice",
    "status.friend_joined": "bound",
    "status.referrer_changed": "changed",
    "status.referrer_cleared": "changed",
    "status.friend_moved": "changed",
    "status.dispute_decided": "decided",
    "status.commission_accrued": "frozen",
    "status.commission_settled": "available",
    "status.commission_voided": "void",
    "status.commission_clawed_back": "taken back",
    "status.withdrawal_requested": "under review",
    "status.withdrawal_approved": "to be paid",
    "status.withdrawal_rejected": "declined",
    "status.withdrawal_confirm": "to be accepted",
    "status.withdrawal_remind": "to be accepted",
    "status.withdrawal_paid": "paid",
    "status.withdrawal_failed": "refunded",
    "status.registration_reward": "frozen",
    "status.registration_voided": "void",
    "status.commission_held": "under review",
    "status.commission_released": "released",
    "status.commission_refused": "void",
    "status.grade_up": "in force",
    "status.grade_down": "in force",
    "status.promoter_approved": "accepted",
    "status.promoter_rejected": "not accepted",
    "status.promoter_suspended": "paused",
    "status.promoter_reinstated": "resumed",
    "status.risk_alert": "to be reviewed",
    "status.friends_joined": "bound",
    "status.commissions_accrued": "frozen",
    "status.team_digest": "frozen",
    "status.notice_test": "delivered",
    "status.upheld": "accepted",
    "status.rejected": "not accepted",
    "friend.level.1": "level 1 friend",
    "friend.level.2": "level 2 friend",
    "friend.level.3": "level 3 friend",
    "friend.several": "{count} friends",
    "risk.refund_refused": "a refund was larger than what the order paid and was not applied",
    "risk.bill_difference": "WeChat Pay's bill holds a transfer that we do not know",
    "why.left_settled": (
        "{friend} unfollowed before the reward was due; the news "
        "came late, so the settled reward was taken back"
    ),
    "failure.NOT_ACCEPTED": "WeChat Pay did not accept this transfer",
    "invite.mine": (
        'Your invitation code is {code}.\nA friend who follows us and replies "invitation {code}" is invited by you.\n'
        'Were you invited yourself? Reply "invitation" and your friend\'s code.'
    ),
    "invite.unknown": "We cannot find this code. Please check it with your friend and send it again.",
    "invite.done": "This code has been dealt with already.",
    "product.card": "{product}\n¥{price}",
    "product.none": "There are no products yet.",
    "product.head": "These products can be on a poster:",
    "product.row": "{sku} {product} ¥{price}",
    "product.foot": 'Reply "product poster" and the number, for example: product poster {sku}',
    "product.unknown": 'There is no product {sku}.\nReply "product poster" to see which there are.',
    "help.product_poster": '"product poster" recommends a product to a friend',
    "help.invitation": '"invitation" shows your code, or enters a friend\'s',
    "reply.stranger": "friend",
    "poster.consent": (
        "Please read and agree to the programme's rules first: tap 我的主页 in the menu and open "
        '"Programme rules".'
    ),
    "h5.bar": "Main pages",
    "h5.bar.home": "Home",
    "h5.bar.earnings": "Earnings",
    "h5.bar.team": "Team",
    "h5.bar.progress_list": "Withdrawals",
    "h5.bar.more": "Me",
    "h5.home": "Home",
    "h5.home.code": "Invitation code {code}",
    "h5.home.waiting": "{count} withdrawals are under way, tap to see",
    "h5.balance": "Balance",
    "h5.available": "Available",
    "h5.frozen": "Frozen",
    "h5.withdrawing": "Withdrawing",
    "h5.earned": "Earned in all",
    "h5.people": "People",
    "h5.following": "Following",
    "h5.buyers": "Bought",
    "h5.spent": "Spent (yuan)",
    "h5.see_all": "All",
    "h5.shortcuts": "Shortcuts",
    "h5.news": "Latest news",
    "h5.more": "Earlier ones",
    "h5.filter": "Filter",
    "h5.all": "All",
    "h5.save": "Save",
    "h5.on": "On",
    "h5.off": "Off",
    "h5.support": "Questions? Please contact {contact}",
    "h5.earnings": "My earnings",
    "h5.earnings.of": "{level} friend {friend}",
    "h5.earnings.own": "My own order",
    "h5.earnings.registration": "Invitation reward",
    "h5.earnings.none": (
        "No commissions yet. Send your poster to friends; when they follow and buy, it shows here."
    ),
    "h5.earnings.none_such": "There are no commissions in this state.",
    "h5.why": "Why",
    "h5.statement": "Statement",
    "h5.statement.all": "See every entry",
    "h5.statement.about": "Every change and the balance after it",
    "h5.statement.file": "Download the table",
    "h5.statement.after": "Balance",
    "h5.statement.none": "No entries yet.",
    "h5.team": "My team",
    "h5.team.joined": "joined {date}",
    "h5.team.bought": "bought",
    "h5.team.follows": "following",
    "h5.team.left": "left",
    "h5.team.none": "Nobody on this level yet. Friends who scan your poster and follow appear here.",
    "h5.team.masked": "To protect your friends, names are shown in part only.",
    "h5.ranking": "Ranking",
    "h5.ranking.place": "No. {place}",
    "h5.ranking.of": "of {size}",
    "h5.ranking.people": "{count} people",
    "h5.ranking.same": "same place as before",
    "h5.ranking.me": "Me",
    "h5.withdraw": "Withdraw",
    "h5.withdraw.amount": "Amount",
    "h5.withdraw.available": "Available ¥{available}",
    "h5.withdraw.everything": "Withdraw everything",
    "h5.withdraw.next": "Next",
    "h5.withdraw.terms": "Terms",
    "h5.withdraw.once": "Each time",
    "h5.withdraw.day": "Each day",
    "h5.withdraw.day_value": "at most {count} times, ¥{sum}",
    "h5.withdraw.way": "Paid to",
    "h5.withdraw.way.wechat": "WeChat balance",
    "h5.withdraw.way.offline": "by hand",
    "h5.withdraw.check": "Check your withdrawal",
    "h5.withdraw.net": "You receive",
    "h5.withdraw.audited": "Our staff will check it first.",
    "h5.withdraw.at_once": "It is paid at once.",
    "h5.withdraw.confirm_later": "WeChat will ask you to confirm the receipt within 24 hours.",
    "h5.withdraw.do": "Withdraw",
    "h5.withdraw.change": "Another amount",
    "h5.withdraw.unclear": (
        "We cannot read the amount. Please write a number only, for example 50 or 50.5"
    ),
    "h5.withdraw.used": "This form has been sent already. Please fill in a new one.",
    "h5.fee": "Fee",
    "h5.tax": "Tax withheld",
    "h5.withdrawals": "Withdrawals",
    "h5.withdrawals.none": "You have not withdrawn anything yet.",
    "h5.withdrawal.confirm": "Confirm receipt",
    "h5.withdrawal.number": "Payout number",
    "h5.step.requested": "Asked for",
    "h5.step.approved": "Approved",
    "h5.step.rejected": "Rejected",
    "h5.step.paying": "Being paid",
    "h5.step.paid": "Paid",
    "h5.step.failed": "Not successful",
    "h5.transfer.about": (
        "Please confirm the receipt before {until}; after that the money returns to your balance."
    ),
    "h5.transfer.where": 'Please open this page in WeChat on your phone and tap "Confirm receipt".',
    "h5.transfer.look": "I have confirmed, show the result",
    "h5.transfer.opening": "Opening WeChat's page",
    "h5.transfer.asking": "Asking WeChat Pay, please wait",
    "h5.transfer.cancelled": "You have not confirmed yet. You can tap once more.",
    "h5.transfer.failed": "WeChat's page did not open. Please try again later.",
    "h5.name": "Real name",
    "h5.name.label": "Real name",
    "h5.name.about": (
        "From ¥{amount} on, WeChat Pay checks the real name of who receives the money. It is kept "
        "encrypted, used for this alone, and never shown again."
    ),
    "h5.name.is_known": "You have entered a name before. A new one replaces it.",
    "h5.name.known": "Entered",
    "h5.name.needed": "Needed from ¥{amount} on, enter it",
    "h5.name.unclear": "Please enter your real name, for example 张三",
    "h5.rules": "Programme rules",
    "h5.rules.rates": "Commission rates",
    "h5.rules.freeze": (
        "Settled {days} days after the order is complete. Products may have rates of their own."
    ),
    "h5.rules.default": (
        "Friends who follow us by your poster or link are invited by you; the first binding counts.\n"
        "When a friend pays, you receive commission at the rates above, on what was paid for the "
        "goods, without shipping.\n"
        "Commission is frozen first; it settles after the order is complete and the freeze period "
        "is over, and can then be withdrawn.\n"
        "When an order is refunded, its commission is voided or taken back.\n"
        "Please describe goods truthfully, promise no earnings, force nobody to follow or buy, and "
        "make no false orders.\n"
        "Who breaks the rules is suspended; you can object to that."
    ),
    "h5.rules.agree": "I have read this and agree",
    "h5.rules.kept": "We keep when you agreed, and to which text.",
    "h5.rules.agreed": "You agreed to these rules at {at}.",
    "h5.rules.done": "Thank you, you can promote now.",
    "h5.rules.first": "Please read and agree to the programme's rules first.",
    "h5.rules.changed": "The rules have just changed. Please read them again.",
    "h5.poster": "My poster",
    "h5.poster.about": (
        "The poster carries your own code; friends who scan it and follow are bound to you."
    ),
    "h5.poster.make": "Make my poster",
    "h5.poster.making": "Being made, one moment",
    "h5.poster.save": "Press and hold the picture to save or send it",
    "h5.link": "My link",
    "h5.link.copy": "Copy",
    "h5.link.copied": "Copied",
    "h5.link.about": (
        "Friends who open the link in WeChat and follow are bound to you, as with the poster."
    ),
    "h5.profile": "Nickname",
    "h5.profile.label": "The name that friends see",
    "h5.profile.about": "At most 20 characters.",
    "h5.profile.empty": "Please enter a name that can be shown.",
    "h5.profile.wechat": "Use my WeChat name and picture",
    "h5.notices": "Notices",
    "h5.notices.all": "Receive notices",
    "h5.notices.about": "News of friends, commissions and withdrawals. Earnings go on when it is off.",
    "h5.notices.on": "All right, we will tell you the news.",
    "h5.notices.off": "All right, no more notices.",
    "h5.promotions.all": "Promotions",
    "h5.promotions.about": "Campaigns and new products of the merchant.",
    "h5.promotions.on": "All right, we will tell you about campaigns.",
    "h5.promotions.off": "All right, no more promotions for you.",
    "h5.subscribe": "Subscription notices",
    "h5.subscribe.about": "WeChat lets us send you one message each time you allow it.",
    "h5.subscribe.left": "{count} left",
    "h5.subscribe.more": "Allow {count} more",
    "h5.subscribe.done": "All right, thank you.",
    "h5.subscribe.where": "Open this page in WeChat on your phone and tap again.",
    "h5.privacy": "Personal data",
    "h5.privacy.take": "Export my data",
    "h5.privacy.take_about": "Everything we keep about you, in one file.",
    "h5.privacy.file": "Download",
    "h5.privacy.erase": "Erase personal data",
    "h5.privacy.erase_about": (
        "Nickname, phone, mail and real name are erased for ever, and you are signed out. "
        "Accounts, bindings and withdrawals stay as the law asks, without your name."
    ),
    "h5.privacy.sure": "I know that this cannot be undone",
    "h5.privacy.not_sure": "Please tick the box first.",
    "h5.privacy.still_paying": "A withdrawal of yours is under way; afterwards you can erase.",
    "h5.erased": "Erased",
    "h5.erased.about": (
        "Your personal data has been erased from {account}; earnings and team are still there."
    ),
    "h5.dispute": "Objection",
    "h5.dispute.yours": "Your objection",
    "h5.dispute.open": "Being checked",
    "h5.dispute.upheld": "Accepted",
    "h5.dispute.rejected": "Not accepted",
    "h5.dispute.me": "Me",
    "h5.dispute.staff": "Staff",
    "h5.dispute.label": "You invited a friend, but they are not bound to you? Please tell us",
    "h5.dispute.more": "Add something",
    "h5.dispute.example": "For example: I invited Wang, who scanned on 1 June",
    "h5.dispute.send": "Send",
    "h5.dispute.empty": "Please write something.",
    "h5.dispute.opened": "We have your objection and will tell you the result.",
    "h5.dispute.added": "Added to your objection.",
    "h5.login": "Sign in",
    "h5.login.again": "Open again",
    "h5.login.expired": "You have been signed out. Please go back and reload the page.",
    "h5.login.stale": "This link has been used or has expired.",
    "h5.login.refused": "You did not give your consent. You can try again.",
    "h5.login.away": "WeChat does not answer at the moment. Please try again later.",
    "h5.logout": "Sign out",
    "h5.outside": "Please open this in WeChat",
    "h5.outside.code": "The code of this page",
    "h5.outside.about": "Scan it with WeChat to see your earnings and team at {account}.",
    "h5.snapshot": "This is a preview",
    "h5.snapshot.about": (
        'Tap "use the full service" at the bottom to see your earnings and team at {account}.'
    ),
    "h5.follow": "Please follow the account first",
    "h5.follow.about": "Follow {account} to see your earnings and team.",
    "h5.follow.how": "How to follow",
    "h5.welcome.invited": "{friend} invites you",
    "h5.welcome.code": "Code of the account",
    "h5.welcome.press": "Press and hold the code to follow {account}",
    "h5.welcome.search": 'Search for the account "{account}" in WeChat and follow it',
    "h5.welcome.follows": "I follow already",
}
