"""A file's names of columns against those that are pinned."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connect.deliveries import Drift, SourceSchema
from headrace.connect.formats.registry import FileHeader
from headrace.connect.shown import shown

NAMES_LISTED = 20


def unlike(header: FileHeader, pinned: SourceSchema) -> Drift | None:
    """Names that are gone and names that are new; None where there are neither, whatever their order."""
    there, wanted = set(header.names), set(pinned.names)
    gone = tuple(name for name in pinned.names if name not in there and name not in pinned.optional)
    new = tuple(name for name in header.names if name not in wanted)
    if not gone and not new:
        return None
    parts = [f"{word}: {listed(names)}" for word, names in (("gone", gone), ("new", new)) if names]
    if {name.lower() for name in gone} == {name.lower() for name in new}:
        parts.append("only upper and lower case differ")
    elif not there & wanted:
        parts.append("nothing of the pinned header is left; the file may have no header, or be another one")
    return Drift(gone, new, f"{_gone_and_new(gone, new)} ({'; '.join(parts)})")


def _gone_and_new(gone: Sequence[str], new: Sequence[str]) -> str:
    """`2 columns gone, 1 new`: what fits into a clause."""
    (number, _, rest), *more = [f"{len(names)} {word}".partition(" ") for names, word in ((gone, "gone"), (new, "new")) if names]
    return ", ".join([f"{number} column{'' if number == '1' else 's'} {rest}", *map("".join, more)])


def listed(names: Sequence[str]) -> str:
    """The names for people, cut and escaped."""
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    return ", ".join(shown(name) for name in names[:NAMES_LISTED]) + more
