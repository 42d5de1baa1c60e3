"""How each table is guarded. A table that stands in neither of these is recorded in full: `db check` computes its rows again."""

from __future__ import annotations

from collections.abc import Mapping

BY_HASH: Mapping[str, frozenset[str]] = {
    "content": frozenset({"bytes"}),
    "evidence": frozenset({"content"}),
    "fact": frozenset({"detail"}),
    "frozen_ledger": frozenset({"content"}),
    "journal": frozenset({"events"}),
    "judged": frozenset({"content"}),
    "metric": frozenset({"vector"}),
    "notice": frozenset({"body", "said"}),
    "overlay_attempt": frozenset({"outcome"}),
    "plan": frozenset({"content", "estimate"}),
    "profile": frozenset({"columns"}),
    "quarantine": frozenset({"sample"}),
    "request": frozenset({"document"}),
    "told_lineage": frozenset({"content"}),
    "version": frozenset({"compiled"}),
    "withheld": frozenset({"outcome"}),
}
"""Table → columns of which the log keeps a SHA-256 instead of the value: large, and computed from nothing that the log has."""

LEFT_OUT: Mapping[str, frozenset[str]] = {
    "audit": frozenset({"event", "prev_hash"}),
    "migration": frozenset({"applied_at"}),
}
"""Table → columns that aren't compared: of the trail its own hash, which the log has, is computed from them; a state that was moved to
another database was made there at another time."""

UNRECORDED: Mapping[str, str] = {
    "lease": "a leader renews it every three seconds",
    "checkpoint": "what the core starts from; it is compared with the table `partition`, and the next leader makes it anew",
    "event_log": "it is what the others are compared with; its own hashes are computed again, which"
    " whoever may write the database can do, too",
}
"""Table → why its rows aren't in the log."""

OWN = frozenset({"event_log", "event_statement"})
"""Tables that the log itself writes. The texts of statements are compared: each record brings those that are new."""
