"""What all tests may ask for."""

from __future__ import annotations

import signal

import fresh_tables  # noqa: F401 - before modules that need the tables
from drawn_numbers import drawn_numbers
from mariadb_server import mariadb, mariadb_server
from new_states import new_states
from postgres_cluster import cluster, own_cluster, postgresql
from short_waits import short_waits, waits_of_users
from state_kinds import migrated, postgresql_state, state_settings
from system_tests import pytest_collection_modifyitems, pytest_ignore_collect
from warm_fork_servers import cold_fork_servers, warm_fork_servers
from warm_helpers import cold_helpers, warm_helpers

__all__ = [
    "cluster",
    "cold_fork_servers",
    "cold_helpers",
    "drawn_numbers",
    "mariadb",
    "mariadb_server",
    "migrated",
    "new_states",
    "own_cluster",
    "postgresql",
    "postgresql_state",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "short_waits",
    "state_settings",
    "waits_of_users",
    "warm_fork_servers",
    "warm_helpers",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would the processes that tests begin and
    # interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
