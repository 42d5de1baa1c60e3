"""Rivals of proposed renames: new columns that came close, as a delivery's audit stored them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.checks.column_similarity import RenameRival
from headrace.checks.facts import DriftKind, Policy, RenameFindings
from headrace.responses.incidents import RenameRow, RivalRow
from headrace.store.queries.quality import DriftRow


def is_undecided(row: DriftRow) -> bool:
    """Return whether a change is a rename that a person decides about."""
    return row.kind == DriftKind.RENAMED and row.policy != Policy.MAP and row.to is not None


def rename_evidence(row: DriftRow) -> RenameFindings:
    """Return the measured evidence of a rename; empty if only the spelling was compared."""
    return (
        RenameFindings()
        if row.measured is None
        else msgspec.json.decode(row.measured, type=RenameFindings)
    )


def rival_rows(rivals: Sequence[RenameRival]) -> list[RivalRow]:
    """Return rivals as rows of a response."""
    return [RivalRow(column=each.to, score=each.score, why=each.why or None) for each in rivals]


def stored_rivals(row: DriftRow) -> list[RivalRow] | None:
    """Return the rivals of a delivery's rename; None if they weren't compared or weren't kept."""
    rivals = rename_evidence(row).rivals
    return None if rivals is None else rival_rows(rivals)


def rename_rows(rows: Sequence[DriftRow]) -> list[RenameRow]:
    """Return the undecided renames among a delivery's changes, with their rivals."""
    return [
        RenameRow(
            column=row.column,
            to=row.to or "",
            score=None if row.score is None else float(row.score),
            rivals=stored_rivals(row),
        )
        for row in rows
        if is_undecided(row)
    ]
