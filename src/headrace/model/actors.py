"""Who acts, where nothing has signed anybody in."""

from __future__ import annotations

import os
import pwd


def local_actor() -> str:
    """The operating system's user and the host, `ana@db1`.

    Nothing of it comes from the environment (USER, HOSTNAME): whoever acts could set that."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid:{os.getuid()}"
    return f"{user}@{os.uname().nodename}"
