"""Proposed renames in text: the rivals of a proposal."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.responses.incidents import RivalRow

NONE_CLOSE = "no other new column came close"


def rival_texts(rivals: Sequence[RivalRow] | None) -> list[str]:
    """Return one text per rival of a proposal; none if rivals aren't known."""
    if rivals is None:
        return []
    return [_rival_text(rival) for rival in rivals] or [NONE_CLOSE]


def evidence_text(evidence: Sequence[str], rivals: Sequence[RivalRow] | None) -> str:
    """Return the evidence of a proposal on one line: its rivals first, because lines are cut."""
    clauses = rival_texts(rivals)
    return "; ".join([*clauses, *evidence] if rivals else [*evidence, *clauses])


def score_text(score: float) -> str:
    """Return a score from 0 to 1 with two decimals."""
    return f"{score:.2f}" if score >= 0.005 else "less than 0.01"


def _rival_text(rival: RivalRow) -> str:
    why = "" if rival.why is None else f": {rival.why}"
    return f"rival: {rival.column} ({score_text(rival.score)}{why})"
