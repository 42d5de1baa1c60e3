"""Who acts, where nothing has signed anybody in."""

from __future__ import annotations

import os
import pwd


def local_actor() -> str:
    """HEADRACE_ACTOR where it is set (CI, cron), else the operating system's user and the host, `ana@db1`. Not what USER or LOGNAME
    say: anybody can set those."""
    named = os.environ.get("HEADRACE_ACTOR")
    if named:
        return named
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid:{os.getuid()}"
    return f"{user}@{os.uname().nodename}"
