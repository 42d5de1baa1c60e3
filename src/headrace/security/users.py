"""Users of one server, with Argon2 hashes of their passwords, in a private file.

The file is beside the state and not in it: only the leader writes there, and `user add` must work
before anything runs. TRUST S7, S8.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.model import ProjectError
from headrace.security.private_files import exclusive, replace_private

USERS_FILE = "users.json"
"""In production's data folder; readable by the server's user only."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class User(msgspec.Struct, frozen=True):
    """A user; times are in seconds since 1970 UTC."""

    password_hash: str
    added_at: float
    changed_at: float
    """When the password was last set."""

    @property
    def credential(self) -> str:
        """Identifies the password without saying anything about it."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:32]


Users = dict[str, User]
"""Name → user."""


def read_users(path: Path) -> Users:
    """Return all users; none without the file.

    Raises ProjectError if the file is damaged, or isn't private to the server's user.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ProjectError(f"{path} can't be read: {error.strerror}") from error
    with os.fdopen(opened, "rb") as file:
        facts = os.fstat(opened)
        if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise ProjectError(
                f"{path} isn't private", hint=f"chmod 600 {path}, as the user who runs the server"
            )
        try:
            return msgspec.json.decode(file.read(), type=Users)
        except msgspec.DecodeError as error:
            raise ProjectError(
                f"{path} is damaged: {error}", hint="remove it, then headrace user add NAME"
            ) from error


@contextmanager
def changing(path: Path) -> Iterator[Users]:
    """Yield all users for a change, and write them at the end of the block.

    Raises the errors of `read_users`, and ProjectError if the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path):
            users = read_users(path)
            yield users
            content = msgspec.json.format(msgspec.json.encode(users)) + b"\n"
            replace_private(path, content, synced=True)
    except OSError as error:
        raise ProjectError(f"{path} can't be written: {error.strerror}") from error
