"""The document of `fix`: the incident (INTERFACE §3), what is done about it step by step, and what came of it."""

from __future__ import annotations

from headrace.operations.backfill_documents import BackfillDocument
from headrace.operations.contract_documents import MappingRow
from headrace.operations.documents import Document
from headrace.operations.incident_documents import IncidentRow


class FixStep(Document, frozen=True, kw_only=True):
    """One step: `map` names in a contract, `read` deliveries again, `look` at a source, `build` partitions, `publish` them, `resume` a
    node, `retry` what failed. `what` is what it is done to, `text` how much of it."""

    act: str
    what: str
    text: str


class FixDocument(IncidentRow, frozen=True, kw_only=True):
    """The incident as it stands now. `fix` is `planned`, `declined`, `done` (resolved, or on the way without anybody) or `open` (it was
    done, and the cause is still there); `backfill` is the plan, and what came of it once it ran."""

    fix: str
    steps: list[FixStep]
    mappings: list[MappingRow]
    file: str | None
    """The contract that was edited."""
    backfill: BackfillDocument | None
