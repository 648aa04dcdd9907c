"""What a merchant of some years has besides members and a quarter of them as buyers: made by the server itself.

After `fill` every member has bought once, within the last 120 days but for the first quarter; everything that follows
from it is there in proportion (settled, refunded and frozen commissions, withdrawals in every state, messages, events,
signals, holds, disputes, broadcasts, days and rankings), and the books and the tree still agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from bench.seed import ACCRUALS, SETTLEMENTS, Place, figures, insert_orders, quick_connection
from domain import reports
from domain.china import day_of
from domain.db import Database
from tests.support.mariadb import MariaDB

DAYS: Final = 120
"""How far back the orders go."""
SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN: Final = "伟芳娜敏静磊强军洋勇艳杰娟涛明超兰霞平刚"


def fill(
    server: MariaDB, place: Place, now: datetime, say: Callable[[str], None] = lambda _text: None
) -> None:
    """Make the place a busy one, as of `now`; about four minutes for a million members."""
    steps = (
        _people, _orders, _refunds, _withdrawals, _postings, figures, _messages, _events, _watched, _programme,
        _broadcasts, _codes, _staff_and_systems, _days,
    )  # fmt: skip
    with quick_connection(server, place) as connection, connection.cursor() as cursor:
        cursor.execute("SET @now = %s", (now.strftime("%Y-%m-%d %H:%M:%S"),))
        cursor.execute("SET @members = %s", (place.members,))
        for step in steps:
            began = time.monotonic()
            step(cursor)
            say(f"{step.__name__.strip('_')}: {time.monotonic() - began:.0f} s")
        # Sampled pages are what a server of some age has looked at; a plan must not hang on a fresh table.
        cursor.execute("SHOW TABLES")
        names = ", ".join(f"`{name}`" for (name,) in cursor.fetchall())
        cursor.execute(f"ANALYZE TABLE {names}")
    database = Database(place.url, statement_seconds=600)
    try:
        for metric in reports.METRICS:
            for period in reports.PERIODS:
                starts_on = reports.start_of(period, day_of(now))
                reports.make_board(database, place.account.id, metric, period, starts_on, now)
    finally:
        database.dispose()


def _ago(seconds: str) -> str:
    """SQL of an instant so many seconds (SQL) before now."""
    return f"TIMESTAMPADD(SECOND, -FLOOR({seconds}), @now)"


def _spread(number: str, days: int) -> str:
    """SQL of an instant within the last days, by a number: alike in every run, in no order."""
    return _ago(f"CRC32(CONCAT('at', {number})) / 4294967296 * {days * 86400}")


def _in_order(number: str, of: str, days: int) -> str:
    """SQL of an instant within the last days, later for greater numbers."""
    return _ago(f"(1 - {number} / ({of} + 1)) * {days * 86400}")


def _one_of(words: str, mark: str) -> str:
    """SQL of one of these characters, by the member's id."""
    quoted = ", ".join(f"'{one}'" for one in words)
    return f"ELT(1 + MOD(CRC32(CONCAT('{mark}', id)), {len(words)}), {quoted})"


def _people(cursor: Any) -> None:
    """Names, when they came over two years, grades, suspended ones, codes they came by."""
    surname, given = (_one_of(SURNAMES, "s"), _one_of(GIVEN, "g"))
    joined = _in_order("id", "@members", 730)
    cursor.execute(
        f"UPDATE member SET nickname = IF(MOD(id, 5) = 0, NULL, CONCAT({surname}, {given}, MOD(id, 97))),"
        f" joined_at = {joined}, bound_at = IF(referrer_id IS NULL, NULL, {joined}),"
        " status = IF(MOD(id, 200) = 0, 'suspended', 'active'),"
        " grade = CASE WHEN MOD(id, 100) = 7 THEN 'gold' WHEN MOD(id, 10) = 7 THEN 'silver' ELSE '' END,"
        " phone_index = IF(MOD(id, 5) = 1, SHA2(id, 256), NULL),"
        " source_scene_id = IF(MOD(id, 20) = 3, 1 + MOD(id, 500), NULL)"
    )
    cursor.execute(
        "INSERT INTO grade (account_id, code, name, `rank`, updated_at) VALUES"
        " (1, 'silver', '银牌', 1, @now), (1, 'gold', '金牌', 2, @now)"
    )
    cursor.execute(
        "INSERT INTO binding_history (account_id, member_id, seq, to_referrer_id, reason, actor, at)"
        " SELECT 1, id, 1, referrer_id, 'scan', 'member', joined_at FROM member WHERE referrer_id IS NOT NULL"
        " ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO grade_history (account_id, member_id, seq, from_grade, to_grade, reason, actor, at)"
        " SELECT 1, id, 1, '', grade, 'reached', 'clock', joined_at FROM member WHERE grade <> '' ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO service_window (member_id, account_id, spoke_at, tapped_at, spent)"
        f" SELECT id, 1, {_spread('id', 30)}, NULL, 0 FROM member WHERE MOD(id, 3) = 0"
    )


def _orders(cursor: Any) -> None:
    """Everybody who has not bought yet, in no order, over the last days; what is older than five days is completed."""
    paid_at = f"TIMESTAMPADD(SECOND, -FLOOR((1 - share) * {DAYS * 86400}), @now)"
    insert_orders(cursor, "first_paid_at IS NULL", paid_at, by="CRC32(id)")
    cursor.execute(
        "UPDATE orders SET status = 'completed', completed_at = TIMESTAMPADD(DAY, 5, paid_at)"
        " WHERE paid_at < TIMESTAMPADD(DAY, -5, @now)"
    )
    cursor.execute(
        "INSERT INTO orders (account_id, order_no, content_hash, channel, status, buyer_openid, paid_fen, paid_at,"
        " created_at) SELECT 1, CONCAT('U', seq), SHA2(seq, 256), 'api', 'paid', CONCAT('oStranger', seq), 1000,"
        f" {_in_order('seq', '@members / 100', 2)}, {_in_order('seq', '@members / 100', 2)}"
        " FROM seq_1_to_100000000 WHERE seq <= @members / 100"
    )
    cursor.execute(
        "INSERT INTO order_line (order_id, line_no, title, quantity, paid_fen) SELECT id, 1, '商品', 1, paid_fen"
        " FROM orders WHERE member_id IS NULL"
    )
    cursor.execute(  # three of ten wait for a person; the rest is settled after seven days
        "UPDATE commission SET due_at = TIMESTAMPADD(DAY, 7, created_at),"
        " settled_at = IF(created_at < TIMESTAMPADD(DAY, -7, @now), TIMESTAMPADD(DAY, 7, created_at), NULL),"
        " status = IF(created_at < TIMESTAMPADD(DAY, -7, @now), 'settled', 'frozen')"
        " WHERE settled_at IS NULL AND MOD(order_id, 10) < 7"
    )
    cursor.execute(
        "INSERT INTO balance (member_id, account_id, available_fen) SELECT member_id, 1, SUM(amount_fen)"
        " FROM commission c WHERE status = 'settled'"
        " GROUP BY member_id ORDER BY member_id ON DUPLICATE KEY UPDATE available_fen = VALUES(available_fen)"
    )


def _refunds(cursor: Any) -> None:
    """One order of a hundred came back whole, before its commissions were settled."""
    cursor.execute(
        "INSERT INTO refund (account_id, order_no, refund_no, order_id, content_hash, status, goods_fen, created_at)"
        " SELECT 1, order_no, CONCAT('R', id), id, SHA2(id, 256), 'applied', paid_fen, TIMESTAMPADD(HOUR, 1, paid_at)"
        " FROM orders WHERE MOD(id, 100) = 99 AND member_id IS NOT NULL ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO refund_line (refund_id, line_no, refund_fen) SELECT id, 1, goods_fen FROM refund"
    )
    cursor.execute(
        "UPDATE orders JOIN refund ON refund.order_id = orders.id JOIN order_line ON order_line.order_id = orders.id"
        " SET orders.refunded_fen = orders.paid_fen, order_line.refunded_fen = order_line.paid_fen"
    )
    cursor.execute(
        "UPDATE commission JOIN refund ON refund.order_id = commission.order_id"
        " SET clawed_fen = amount_fen, commission.status = 'voided'"
    )
    cursor.execute(
        "INSERT INTO clawback (refund_id, commission_id, amount_fen, from_bucket, at)"
        " SELECT refund.id, commission.id, amount_fen, 'frozen', refund.created_at"
        " FROM commission JOIN refund ON refund.order_id = commission.order_id ORDER BY refund.id, commission.id"
    )


def _withdrawals(cursor: Any) -> None:
    """A third of what is available, of a tenth of those who have some; nine of ten paid, some in every other state."""
    cursor.execute(
        "INSERT INTO withdrawal (account_id, member_id, payout_no, client_token, method, amount_fen, status,"
        " requested_at, decided_at, paying_at, finished_at, provider_bill_no)"
        " SELECT 1, member_id, CONCAT('W', member_id), 't', IF(dice = 1, 'offline', 'wechat'), amount, state, at,"
        " IF(state = 'requested', NULL, TIMESTAMPADD(HOUR, 1, at)),"
        " IF(state IN ('paying', 'paid', 'failed'), TIMESTAMPADD(HOUR, 2, at), NULL),"
        " IF(state IN ('paid', 'failed', 'rejected'), TIMESTAMPADD(HOUR, 3, at), NULL),"
        " IF(state = 'paid', CONCAT('B', member_id), NULL) FROM ("
        " SELECT member_id, FLOOR(available_fen / 3) AS amount, MOD(CRC32(member_id), 10) AS dice,"
        "  ELT(1 + LEAST(5, MOD(CRC32(CONCAT('w', member_id)), 50)), 'requested', 'approved', 'rejected', 'failed',"
        f"  'paying', 'paid') AS state, {_spread('member_id', 90)} AS at FROM balance WHERE available_fen > 300"
        "  AND MOD(CRC32(CONCAT('p', member_id)), 10) = 0) AS wish ORDER BY at, member_id"
    )
    cursor.execute(
        "UPDATE balance JOIN withdrawal ON withdrawal.member_id = balance.member_id SET"
        " available_fen = available_fen - IF(status IN ('rejected', 'failed'), 0, amount_fen),"
        " withdrawing_fen = IF(status IN ('requested', 'approved', 'paying'), amount_fen, 0)"
    )
    cursor.execute(
        "INSERT INTO withdrawal_approval (withdrawal_id, round, actor, at)"
        " SELECT id, 1, 'staff:anna', decided_at FROM withdrawal WHERE decided_at IS NOT NULL"
    )


def _postings(cursor: Any) -> None:
    """Of everything since the first quarter, by time, as ids are given out."""
    step = "SELECT CONCAT('{0}-', id), 1, member_id, '{1}', '{2}', amount_fen, '{0}', {3} FROM withdrawal{4}"
    parts = (
        f"{ACCRUALS} WHERE order_id > @first",
        f"{SETTLEMENTS} WHERE order_id > @first AND status = 'settled'",
        "SELECT CONCAT('void-', refund_id, '-', commission_id), 1, member_id, 'frozen', 'commission',"
        " clawback.amount_fen, 'void', at FROM clawback JOIN commission ON commission.id = commission_id",
        step.format("hold", "available", "withdrawing", "requested_at", ""),
        step.format("paid", "withdrawing", "cash", "finished_at", " WHERE status = 'paid'"),
        step.format(
            "back",
            "withdrawing",
            "available",
            "finished_at",
            " WHERE status IN ('rejected', 'failed')",
        ),
    )
    cursor.execute(
        "SELECT MAX(CAST(SUBSTRING_INDEX(SUBSTR(posting_key, 8), '-', 1) AS UNSIGNED)) INTO @first"
        " FROM posting WHERE reason = 'accrue'"
    )
    cursor.execute(
        "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
        f" {' UNION ALL '.join(parts)} ORDER BY 8, 1"
    )


def _messages(cursor: Any) -> None:
    """The outbox keeps thirty days; nearly all has left, some hundreds of a hundred thousand did not get there."""
    cursor.execute(
        "INSERT INTO outbox (account_id, member_id, topic, dedupe_key, payload, state, attempts, next_at, delivery,"
        " delivered_at, created_at, done_at, channel, provider_msg_id, last_error)"
        " SELECT 1, member_id, 'notice', CONCAT('notice-', notice_key), '{\"occasion\": \"commission_accrued\"}',"
        " state,"
        " 1, created_at, IF(state = 'done', IF(MOD(CRC32(id), 50) = 0, 'blocked', 'success'), NULL),"
        " IF(state = 'done', created_at, NULL), created_at, IF(state = 'done', created_at, NULL),"
        " IF(state = 'done', 'template', NULL), IF(state = 'done', CONCAT('m', id), NULL),"
        " IF(state = 'dead', '43004 the member does not follow', NULL) FROM ("
        " SELECT *, ELT(1 + LEAST(3, MOD(CRC32(id), 300)), 'dead', 'unsure', 'pending', 'done') AS state FROM notice"
        " WHERE created_at > TIMESTAMPADD(DAY, -30, @now)) AS told ORDER BY created_at, id"
    )


def _events(cursor: Any) -> None:
    """Coming and leaving, buying, taps and scans over two years, bindings that were refused."""
    insert = "INSERT INTO event (account_id, push_key, kind, member_id, scene_id, detail, at)"
    for kind, at, where in (
        ("follow", "joined_at", "1 = 1"),
        ("leave", "TIMESTAMPADD(DAY, 1, joined_at)", "following = 0"),
        ("click", _spread("id", 90), "MOD(id, 2) = 0"),
        ("scan", _spread("id + 1", 90), "MOD(id, 4) = 0"),
        ("bind_refused", _spread("id + 2", 90), "MOD(id, 50) = 0"),
    ):
        detail = "'too_late'" if kind == "bind_refused" else "NULL"
        cursor.execute(
            f"{insert} SELECT 1, CONCAT('{kind}-', id), '{kind}', id, source_scene_id, {detail}, {at} FROM member"
            f" WHERE {where} ORDER BY id"
        )
    cursor.execute(
        f"{insert} SELECT 1, CONCAT('buy-', id), 'buy', member_id, NULL, order_no, paid_at FROM orders"
        " WHERE member_id IS NOT NULL"
    )


def _watched(cursor: Any) -> None:
    """Three signals of a hundred members, one of ten open; holds by them and by hand; objections."""
    cursor.execute(
        "INSERT INTO risk_signal (account_id, signal_key, kind, member_id, evidence, holds, status, raised_at,"
        " expires_at) SELECT 1, CONCAT('s-', id), ELT(1 + MOD(id, 4), 'churn', 'velocity', 'shared_payer', 'refunds'),"
        " id, '{}', 1, ELT(1 + LEAST(3, MOD(CRC32(id), 10)), 'open', 'confirmed', 'lapsed', 'released'),"
        f" {_in_order('id', '@members', 365)}, TIMESTAMPADD(DAY, 14, {_in_order('id', '@members', 365)})"
        " FROM member WHERE MOD(CRC32(CONCAT('risk', id)), 100) < 3 ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO hold (account_id, commission_id, member_id, open_key, signal_id, reason, actor, at, expires_at,"
        " outcome) SELECT 1, c.id, c.member_id, IF(s.status = 'open', c.id, NULL), s.id, CONCAT('risk-', s.kind),"
        " 'risk', s.raised_at, s.expires_at, IF(s.status = 'open', 'open', 'released')"
        " FROM risk_signal s JOIN commission c ON c.member_id = s.member_id"
        " WHERE c.status = 'frozen' AND MOD(c.id, 3) = 0 AND c.member_id > 1"
    )
    cursor.execute(
        "INSERT INTO dispute (account_id, member_id, open_key, state, opened_at) SELECT 1, id,"
        " IF(MOD(id, 500) = 0, id, NULL), IF(MOD(id, 500) = 0, 'open', IF(MOD(id, 200) = 0, 'upheld', 'rejected')),"
        f" {_in_order('id', '@members', 365)} FROM member WHERE MOD(id, 100) = 0"
    )
    cursor.execute(
        "INSERT INTO dispute_note (dispute_id, note_key, actor, body, at)"
        " SELECT id, CONCAT('d-', id), 'member', '这位朋友是我带来的', opened_at FROM dispute"
    )


def _programme(cursor: Any) -> None:
    """Rules, products, applications, who changed what."""
    cursor.execute(
        "INSERT INTO rule (account_id, effective_at, definition, actor, created_at) SELECT 1, at, definition,"
        f" 'staff:anna', at FROM (SELECT {_in_order('seq', '30', 600)} AS at, definition"
        " FROM seq_1_to_30 JOIN rule) AS made ORDER BY at"
    )
    cursor.execute(
        "INSERT INTO product (account_id, sku, name, price_fen, stock, updated_at)"
        " SELECT 1, CONCAT('P', seq), CONCAT('新茶 ', seq), 9900, MOD(seq, 300), @now FROM seq_1_to_5000"
    )
    cursor.execute(
        "INSERT INTO promoter_application (account_id, member_id, open_key, status, message, applied_at)"
        " SELECT 1, id, IF(MOD(id, 200) = 0, id, NULL), IF(MOD(id, 200) = 0, 'applied', 'approved'), '我想推广',"
        f" {_in_order('id', '@members', 365)} FROM member WHERE MOD(id, 20) = 0"
    )
    cursor.execute(
        "INSERT INTO audit (account_id, actor, action, subject, `before`, `after`, at) SELECT 1,"
        " CONCAT('staff:', ELT(1 + MOD(seq, 3), 'anna', 'bo', 'chen')),"
        " ELT(1 + MOD(seq, 5), 'rebound', 'withdrawal.approved', 'order_completed', 'grade', 'settings'),"
        f" CONCAT('member/', 1 + MOD(seq * 7, @members)), '{{}}', '{{}}', {_in_order('seq', '@members / 5', 365)}"
        " FROM seq_1_to_100000000 WHERE seq <= @members / 5"
    )
    cursor.execute(
        "INSERT INTO reconciliation (account_id, kind, day, compared, paid_fen, difference_count, differences, at)"
        " SELECT 1, ELT(1 + MOD(seq, 2), 'numbers', 'bill'), DATE(TIMESTAMPADD(DAY, -FLOOR(seq / 2), @now)), 100,"
        " 100000, 0, '[]', TIMESTAMPADD(DAY, -FLOOR(seq / 2), @now) FROM seq_1_to_700"
    )


def _broadcasts(cursor: Any) -> None:
    """A hundred campaigns, the newest of them to everybody who follows."""
    cursor.execute(
        "INSERT INTO campaign (account_id, name, channel, content, audience, state, campaign_key, window_days,"
        " started_at, planned_at, finished_at, plan_batches, recipients, actor, created_at)"
        " SELECT 1, CONCAT('新茶 ', seq), 'custom', '{\"kind\": \"text\", \"text\": \"新茶上市\"}', '{}', 'done',"
        " CONCAT('c', seq), 7, at, at, at, 1, 0, 'staff:anna', at"
        f" FROM (SELECT seq, {_in_order('seq', '100', 365)} AS at FROM seq_1_to_100) AS sent"
    )
    cursor.execute("SELECT MAX(id) INTO @campaign FROM campaign")
    cursor.execute(
        "INSERT INTO campaign_recipient (campaign_id, member_id, batch_no, state, errcode, tried_at)"
        " SELECT @campaign, id, 1 + FLOOR(id / 500), IF(MOD(CRC32(id), 20) = 0, 'failed', 'sent'),"
        " IF(MOD(CRC32(id), 20) = 0, 45015, NULL), @now FROM member WHERE following = 1"
    )
    cursor.execute(
        "INSERT INTO campaign_batch (campaign_id, no, account_id, way, state, size, accepted, delivered, failed,"
        " next_at, sent_at, finished_at) SELECT campaign_id, batch_no, 1, 'person', 'finished', COUNT(*),"
        " SUM(state = 'sent'), SUM(state = 'sent'), SUM(state = 'failed'), @now, @now, @now"
        " FROM campaign_recipient GROUP BY campaign_id, batch_no"
    )
    cursor.execute(
        "UPDATE campaign SET recipients = (SELECT COUNT(*) FROM campaign_recipient), plan_batches ="
        " (SELECT MAX(no) FROM campaign_batch) WHERE id = @campaign"
    )
    cursor.execute(
        "INSERT INTO campaign_link (account_id, campaign_id, token, url)"
        " SELECT 1, id, CONCAT('l', id), 'https://tea.example/new' FROM campaign"
    )
    cursor.execute("SELECT id INTO @link FROM campaign_link WHERE campaign_id = @campaign")
    cursor.execute(
        "INSERT INTO campaign_click (account_id, campaign_id, link_id, member_id, at, until)"
        " SELECT 1, @campaign, @link, id, TIMESTAMPADD(DAY, -3, @now), TIMESTAMPADD(DAY, 4, @now) FROM member"
        " WHERE MOD(id, 20) = 1"
    )


def _codes(cursor: Any) -> None:
    """Five hundred channel codes with a year of days; a code and a poster of every fifth member."""
    cursor.execute(
        "INSERT INTO scene (id, account_id, code, kind, owner_key, label, created_at)"
        " SELECT seq, 1, CONCAT('channel', seq), 'channel', CONCAT('channel-1-', seq), CONCAT('门店 ', seq), @now"
        " FROM seq_1_to_500"
    )
    cursor.execute(
        "INSERT INTO code (scene_id, account_id, name, created_at, people, following)"
        " SELECT id, 1, label, created_at, 100, 80 FROM scene"
    )
    cursor.execute(
        "INSERT INTO code_day (account_id, subject, ref_id, day, posters, scans, follows, joined, leaves, buyers,"
        " orders, sales_fen) SELECT 1, 'code', c.seq, DATE(TIMESTAMPADD(DAY, -d.seq, @now)), 0, 9, 4, 3, 1, 1, 1, 9900"
        " FROM seq_1_to_500 c JOIN seq_1_to_365 d"
    )
    cursor.execute(
        "INSERT INTO scene (account_id, code, kind, owner_key, member_id, created_at)"
        " SELECT 1, CONCAT('p', id), 'promoter', CONCAT('promoter-', id), id, joined_at FROM member"
        " WHERE MOD(id, 5) = 0 ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO poster (scene_id, member_id, qr_ticket_id, fingerprint, media_id, media_expires_at, asked_at)"
        " SELECT id, member_id, id, 'f', 'm', @now, @now FROM scene WHERE member_id IS NOT NULL"
    )


def _staff_and_systems(cursor: Any) -> None:
    """Work that was done, webhooks with their log, versions of the menu."""
    cursor.execute(
        "INSERT INTO task (account_id, kind, params, state, result, actor, lease_until, created_at, finished_at)"
        " SELECT IF(MOD(seq, 2), 1, NULL), IF(MOD(seq, 2), 'grades', 'books'), '{}', 'done', '{\"ok\": true}',"
        f" 'staff:anna', at, at, at FROM (SELECT seq, {_in_order('seq', '2000', 365)} AS at FROM seq_1_to_2000) AS work"
    )
    cursor.execute(
        "INSERT INTO webhook (account_id, url, events, public_key, secret, created_at)"
        " VALUES (1, 'https://tea.example/hook', '[]', 'hook', 'x', @now)"
    )
    cursor.execute(
        "INSERT INTO webhook_attempt (webhook_id, outbox_id, event, delivery_key, at, status, took_ms)"
        " SELECT 1, id, 'commission.accrued', dedupe_key, created_at, 200, 20 FROM outbox ORDER BY id"
    )
    cursor.execute(
        "INSERT INTO menu_version (account_id, version, menu, actor, created_at)"
        " SELECT 1, seq, '{\"buttons\": []}', 'staff:anna', @now FROM seq_1_to_50"
    )
    cursor.execute(
        "INSERT INTO intake (account_id, kind, name, options, size, actor, created_at)"
        " SELECT 1, 'orders', CONCAT('orders-', seq, '.csv'), '{}', 1000, 'staff:anna', @now FROM seq_1_to_500"
    )


def _days(cursor: Any) -> None:
    """The days of members and of the account, as the clock would have left them (people and money that came)."""
    day = "DATE(TIMESTAMPADD(HOUR, 8, created_at))"
    columns = "account_id, day, member_id, level, orders, spent_fen, accrued_fen, settled_fen"
    settled = "SUM(IF(status = 'settled', amount_fen, 0))"
    cursor.execute(
        f"INSERT INTO daily ({columns}) SELECT 1, {day}, member_id, level, COUNT(*), SUM(base_fen), SUM(amount_fen),"
        f" {settled} FROM commission GROUP BY {day}, member_id, level"
    )
    cursor.execute(
        f"INSERT INTO daily ({columns}) SELECT 1, {day}, 0, 0, COUNT(DISTINCT order_id), SUM(base_fen),"
        f" SUM(amount_fen), {settled} FROM commission GROUP BY {day}"
    )
    cursor.execute(
        f"INSERT INTO daily ({columns}) SELECT account_id, day, 0, level, SUM(orders), SUM(spent_fen),"
        " SUM(accrued_fen), SUM(settled_fen) FROM daily WHERE member_id > 0 GROUP BY account_id, day, level"
    )
    joined = "DATE(TIMESTAMPADD(HOUR, 8, joined_at))"
    cursor.execute(
        "INSERT INTO daily (account_id, day, member_id, level, people)"
        f" SELECT 1, {joined}, 0, 0, COUNT(*) FROM member GROUP BY {joined}"
        " ON DUPLICATE KEY UPDATE people = VALUES(people)"
    )
    cursor.execute(
        "INSERT INTO account_day (account_id, day, following, bound, sent, failed, counted_at)"
        " SELECT 1, day, 800000, people, orders, 9, @now FROM daily WHERE member_id = 0 AND level = 0"
    )
