"""Names and hashes of delivered files, without what may tell personal values.

A vendor chooses what stands for `*` in the name of a file. For a source with classified columns,
that part may be a person's name or number, so nobody sees it.
"""

from __future__ import annotations

import functools
import re

from headrace.model.masks import column_classes
from headrace.model.nodes import Project, Source

_OPEN = re.compile(r"(?P<placeholder>\{[^{}]*\})|(?P<wildcard>\*+|\?|\[[^\]]*\])")


def visible_name(project: Project | None, node: str, path: str) -> str:
    """Return a delivery's path as it may be shown.

    Of a source with classified columns, `*` stands for what its `files:` leaves open. A path that
    doesn't match `files:` isn't shown at all then.
    """
    source = None if project is None else project.sources.get(node)
    if project is None or source is None or not column_classes(project, node):
        return path
    return _without_open_parts(source, path)


def visible_hash(project: Project | None, node: str, digest: str | None) -> str | None:
    """Return the hash of a delivery's bytes as it may be shown.

    None for a source with classified columns: with its other columns known, a value could be found
    by trying all of them.
    """
    return None if project is not None and column_classes(project, node) else digest


def visible_text(project: Project, node: str, text: str) -> str:
    """Return a message about deliveries with their names as `visible_name` gives them."""
    source = project.sources.get(node)
    if source is None or not column_classes(project, node) or not _is_open(source):
        return text
    pattern = source.files or ""
    return _expression(pattern, within=True).sub(lambda match: _joined(match, pattern), text)


def _is_open(source: Source) -> bool:
    return any(match["wildcard"] for match in _OPEN.finditer(source.files or ""))


def _without_open_parts(source: Source, path: str) -> str:
    pattern = source.files or ""
    if not _is_open(source):
        return path
    matched = _expression(pattern).fullmatch(path)
    if matched is None:
        return pattern
    return _joined(matched, pattern)


def _joined(matched: re.Match[str], pattern: str) -> str:
    parts = [matched.group(name) for name in _names(pattern)]
    return "".join("*" if part is None else part for part in parts)


@functools.lru_cache(maxsize=256)
def _expression(pattern: str, *, within: bool = False) -> re.Pattern[str]:
    """Return the pattern with a group per part; what wildcards match is in no group.

    A wildcard takes as much as it can: a part that is shown can't belong to it. `within` a text
    it takes as little as it can, because another name may follow.
    """
    wildcard = ".*?" if within else ".*"
    parts, end = [], 0
    for number, match in enumerate(_OPEN.finditer(pattern)):
        parts.append(f"(?P<literal{number}>{re.escape(pattern[end : match.start()])})")
        group = f"(?P<open{number}>"
        parts.append(f"{group}.+?)" if match["placeholder"] else f"{group}){{0}}{wildcard}")
        end = match.end()
    parts.append(f"(?P<rest>{re.escape(pattern[end:])})")
    return re.compile("".join(parts), re.DOTALL)


def _names(pattern: str) -> list[str]:
    """Return the names of the groups of a pattern, in order."""
    count = sum(1 for _ in _OPEN.finditer(pattern))
    return [name for number in range(count) for name in (f"literal{number}", f"open{number}")] + [
        "rest"
    ]
