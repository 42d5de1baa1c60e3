"""The state database, which holds the lake's catalog too: a SQLite file in WAL mode, or schemas of a PostgreSQL database.

Every change is one transaction of the leader; readers see a consistent snapshot. Nothing here knows the lake or the plan.
"""

from headrace.store.address import PostgresqlAddress, SqliteAddress
from headrace.store.clock import Clock, ClockKind
from headrace.store.database import Store, exists, state_path
from headrace.store.lease import Holder, Lease
from headrace.store.transaction import Transaction

__all__ = ["Clock", "ClockKind", "Holder", "Lease", "PostgresqlAddress", "SqliteAddress", "Store", "Transaction", "exists", "state_path"]
