"""`headrace import suggestion`: the suggestions of an import, as diffs, and their application."""

from __future__ import annotations

from pathlib import Path

from headrace.extension import ColumnLayout, CommandOutput, Invocation, local_actor, plural
from headrace_import.responses.imports import ImportSuggestionsResponse


def suggestion(invocation: Invocation, name: str, into: Path | None, *, apply: bool) -> int:
    """Print one suggestion, those of a kind, or all; with `apply`, change the project's files."""
    from headrace_import.services.suggestions import apply_suggestions, list_suggestions

    if apply:
        response = apply_suggestions(name, into, local_actor(), invocation.progress())
        invocation.show(response, _render_applied, clock=False)
        return 0
    response = list_suggestions(name, into)
    invocation.show(response, _render_diffs if name else _render_list, clock=False)
    return 0


_COLUMNS = [
    ColumnLayout("suggestion", gives=2, least=12),
    ColumnLayout("is", gives=3, least=8),
    ColumnLayout("evidence", gives=1, least=24),
]


def _render_list(response: ImportSuggestionsResponse, page: CommandOutput) -> None:
    if not response.suggestions:
        page.say("the import has no suggestions")
        return
    page.table(
        _COLUMNS,
        [
            [row.id, _state(row.id, response, is_change=row.diff is not None), row.evidence]
            for row in response.suggestions
        ],
    )
    page.next("headrace import suggestion ID")


def _state(name: str, response: ImportSuggestionsResponse, *, is_change: bool) -> str:
    if name in response.applied:
        return "applied"
    return "a change" if is_change else "evidence"


def _render_diffs(response: ImportSuggestionsResponse, page: CommandOutput) -> None:
    for row in response.suggestions:
        state = _state(row.id, response, is_change=row.diff is not None)
        page.say(f"{row.id} ({state}): {row.evidence}")
        if row.diff is not None:
            page.raw(row.diff.rstrip("\n"))
    page.next(response.next)


def _render_applied(response: ImportSuggestionsResponse, page: CommandOutput) -> None:
    for row in response.suggestions:
        page.say(f"✓ {row.id} applied", "good")
    page.say(f"{plural(len(response.files), 'file')} changed: {', '.join(response.files)}")
    page.next(response.next)
