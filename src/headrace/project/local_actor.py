"""The actor of commands without a signed-in user."""

from __future__ import annotations

import os
import pwd


def local_actor() -> str:
    """Return the operating system's user and host, such as `ana@db1`.

    It ignores environment variables such as USER and HOSTNAME, which the user could change.
    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid:{os.getuid()}"
    return f"{user}@{os.uname().nodename}"
