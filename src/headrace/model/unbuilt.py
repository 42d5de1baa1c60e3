"""What may be declared already and does nothing yet. `validate` says so as a warning; the verb that needs it refuses."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.model.file_fields import FILE_OPTIONS
from headrace.model.nodes import Place, Project, Source
from headrace.model.problems import Level, Problem
from headrace.model.reporting import shown


def not_built(project: Project) -> list[Problem]:
    """A warning for each declared thing that isn't built yet, with what to do meanwhile."""
    found: list[Problem] = []
    for source in project.sources.values():
        found.extend(_source(source))
    return found


def _warning(place: Place, what: str, hint: str) -> Problem:
    return Problem(code="not_built", message=f"{what}: read, but not built yet", hint=hint, place=place, level=Level.WARNING)


def _source(source: Source) -> Iterator[Problem]:
    for name in source.connector.keys() - {"http", "connection", "table", "query", "cursor", *FILE_OPTIONS}:
        yield _warning(source.place, f"`{name}` of {shown(source.name)}", "have the data delivered as files: `files: landing/…`")
    if source.files is not None and "://" in source.files and (source.complete.files > 1 or source.complete.marker):
        what = f"`complete` by files or a marker of {shown(source.name)}, whose files are elsewhere"
        yield _warning(source.place, what, "write one file an interval")
