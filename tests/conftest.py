"""What all tests may ask for."""

from __future__ import annotations

import signal

from drawn_numbers import drawn_numbers
from postgres_cluster import cluster, postgresql
from state_kinds import state_settings
from warm_fork_servers import cold_fork_servers, warm_fork_servers

__all__ = [
    "cluster",
    "cold_fork_servers",
    "drawn_numbers",
    "postgresql",
    "state_settings",
    "warm_fork_servers",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would the processes that tests begin and
    # interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
