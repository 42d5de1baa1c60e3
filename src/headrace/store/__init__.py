"""The state database: a SQLite file in WAL mode, or schemas of a PostgreSQL database.

It also holds the lake's catalog. The leader makes each change in one transaction; readers see a
consistent snapshot. This package depends on neither the lake nor the plan.
"""

from headrace.store.address import PostgresqlAddress, SqliteAddress
from headrace.store.clock import Clock, ClockKind
from headrace.store.database import Store, exists
from headrace.store.lease import Holder, Lease
from headrace.store.transaction import Transaction

__all__ = [
    "Clock",
    "ClockKind",
    "Holder",
    "Lease",
    "PostgresqlAddress",
    "SqliteAddress",
    "Store",
    "Transaction",
    "exists",
]
