"""Where a file names tables and columns, as offsets in its text.

Each kind of file is read by its own rules: SQL from its syntax tree and scopes, YAML and front
matters by their keys, Python from its syntax tree. Nothing is run, and text that can't be read has
no occurrences.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Role(enum.Enum):
    """What a name is at its place."""

    DECLARES = "declares"
    READS = "reads"
    PARAMETER = "parameter"
    """A parameter of a Python function, which has the name of an input."""
    WITHIN = "within"
    """A word in the text of an SQL check."""


class Occurrence(NamedTuple):
    """A table, or a column of one, from `start` to `end` of a text, without quotes."""

    start: int
    end: int
    node: str
    """The name as the project declares it."""
    column: str | None = None
    role: Role = Role.READS
    bare: bool = False
    """Whether it is a column that SELECT returns under its own name."""
    direct: bool = True
    """False for a column of a CTE or a subquery that is the named one unchanged."""


class Tables:
    """The tables and contracts of a project, whose names don't depend on case."""

    def __init__(
        self,
        columns: Mapping[str, tuple[str, ...] | None],
        consumers: tuple[str, ...] = (),
        contracts: Mapping[str, str] | None = None,
    ) -> None:
        self._columns = columns
        self._names = {name.lower(): name for name in (*columns, *consumers)}
        self.contracts = contracts or {}
        """Contract → the source or asset that has it."""

    def name(self, written: str) -> str | None:
        """Return the declared name of a source, asset or consumer."""
        return self._names.get(written.lower())

    def column(self, node: str, written: str) -> str | None:
        """Return a column's name as the node has it; None if its columns are known without it."""
        known = self._columns.get(node)
        if known is None:
            return written
        return next((name for name in known if name.lower() == written.lower()), None)

    def lacks(self, node: str | None, written: str) -> bool:
        """Return whether a column is known to be none of the node."""
        known = None if node is None else self._columns.get(node)
        return known is not None and written.lower() not in map(str.lower, known)

    def has(self, node: str, written: str) -> bool:
        """Return whether a column is known to be one of the node."""
        return self._columns.get(node) is not None and self.column(node, written) is not None


def words(text: str, word: str) -> Iterator[int]:
    """Yield the offsets at which a text has a word, whatever its case."""
    pattern = rf"(?<![\w$]){re.escape(word)}(?!\w)"
    yield from (word_match.start() for word_match in re.finditer(pattern, text, re.IGNORECASE))


def has_words(text: str, wanted: Iterable[str]) -> bool:
    """Return whether a text has all of these words, whatever their case."""
    lowered = text.lower()
    return all(
        word.lower() in lowered and next(words(text, word), None) is not None for word in wanted
    )
