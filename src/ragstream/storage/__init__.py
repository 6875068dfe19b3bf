"""The relational store: sessions, their turns, and idempotency keys.

It imports nothing by itself: SQLAlchemy takes half a second, which only those wait for who use a database.
"""
