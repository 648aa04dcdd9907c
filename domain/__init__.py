"""The business of Banyan: members, orders, commissions, the ledger. Python and SQLAlchemy, nothing else.

Functions take `session` first and `now` where time matters, and never commit: the doors (bot, web, jobs) open
the one transaction with `Database.transact`.
"""
