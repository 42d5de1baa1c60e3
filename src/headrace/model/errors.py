"""The failure vocabulary. A message says what was touched, why it was refused, and what to do next.

HeadraceError                  anything that Headrace itself refuses or reports
├── UsageError                 the command line is off                       exit 2
│   └── UnknownName            it names something that doesn't exist
├── ProjectError               the project can't be read, or has problems    exit 1
├── Refused                    policy says no: `--yes`, `apply` first, …     exit 3
├── NotBuilt                   declared or typed, but not built yet          exit 2
├── StoreError                 the state can't be read or written            exit 1
│   ├── StoreUnreachable         the database's server can't be reached just now
│   └── LeaseLost              another leader took over; nothing was committed
└── LakeError                  the lake's files or catalog can't be used     exit 1
"""

from __future__ import annotations

import re


def first_line(error: BaseException) -> str:
    """The first line of what an error says; of one that says nothing, what it is."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class HeadraceError(Exception):
    """Base. `hint` says what to do next, in one line."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HeadraceError):
    """What was typed can't be understood."""

    exit_code = 2


class UnknownName(UsageError):
    """A node, run, incident or the like is named that doesn't exist. Over HTTP that is 404."""


class ProjectError(HeadraceError):
    """The project's declarations can't be used."""


class Refused(HeadraceError):
    """Policy says no: it isn't allowed, needs `--yes` or an approval, or `apply` first."""

    exit_code = 3


class NotBuilt(HeadraceError):
    """The name is known, what it names isn't built yet."""

    exit_code = 2


class StoreError(HeadraceError):
    """The state database can't be read or written."""


class StoreUnreachable(StoreError):
    """The state's server can't be reached, is starting or is ending: another try may reach it."""


class LeaseLost(StoreError):
    """Another leader has taken over; what this one tried to commit was not committed."""


class LakeError(HeadraceError):
    """The lake's files or its catalog can't be used."""


_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPELT_OUT = {
    "OS": "operating system",
    "IO": "input or output",
    "EOF": "end of file",
    "gaierror": "name lookup error",
    "herror": "name lookup error",
}


def words_of(error: BaseException) -> str:
    """The name of an exception's class in words: `read timeout` for a ReadTimeout."""
    words = _WORDS.sub(" ", type(error).__name__).split()
    return " ".join(_SPELT_OUT.get(word, word if word.isupper() else word.lower()) for word in words)


def told_by(error: BaseException) -> str:
    """What an exception of another library says, on one line; where it says nothing, its class in words."""
    return " ".join(str(error).split()) or words_of(error)
