"""Problems of keys, which never repeat a key."""

from __future__ import annotations

from headrace.model import HeadraceError


class KeyProblem(HeadraceError):
    """A key is missing, has the wrong length, or isn't the one that encrypted the others."""


class KeyUnreachable(KeyProblem):
    """The place of a key can't be reached now, and perhaps later."""
