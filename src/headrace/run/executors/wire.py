"""What the leader and the process that forks workers say to each other: requests and replies of one size, over a stream socket."""

from __future__ import annotations

import struct

FORK, REAP = b"B", b"R"
REQUEST = struct.Struct("<ci")
"""FORK with the descriptors of a worker and 0 or BACKGROUND, or REAP with the number of one that has ended or is ending."""
REPLY = struct.Struct("<cii")
"""To FORK: the new process's number, or 0 and an errno. To REAP: the number and how it ended, as of `os.waitpid`."""
BACKGROUND = 1
DESCRIPTORS = 7
"""Where tasks are read, where answers are written, where is asked for what hasn't begun, and the four of `engine.logs.Channel`."""
