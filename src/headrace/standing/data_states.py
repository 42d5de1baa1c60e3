"""What somebody who reads published data has to know of it, in words that they may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from headrace.access.permissions import for_reader, hiding
from headrace.access.visibility import HIDDEN
from headrace.model.errors import DataUnsound
from headrace.model.partitions import partition_argument
from headrace.project.session import ProjectSession
from headrace.responses.base import encoded
from headrace.responses.rows import DataStateRow
from headrace.slo.data_states import UNSOUND, DataRead, DataState, DataStateKind, data_states
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.unsound import Carrying, lineage_of
from headrace.store import Transaction
from headrace.store.queries.incidents import display_id

PARTITIONS_MAX = 100
"""Partitions that a row names."""
_HIDDEN_CAUSES = {
    DataStateKind.WRONG: "what it is made from is wrong",
    DataStateKind.EXCEPTION: "what it is made from was accepted as an exception",
    DataStateKind.LATE: "what it is made from is late",
}
"""Texts for who may not see the node that is the cause."""


def states_of(
    session: ProjectSession,
    tx: Transaction,
    reads: Sequence[DataRead],
    times: tuple[int, int | None],
) -> list[DataState]:
    """Return what has to be known of data, worst first.

    `times` are the current time in microseconds, and the snapshot that is read (None: the newest).
    A session of an environment asks production's about nodes that it borrows. The clock and the
    applied version are loaded before the transaction: a store runs one read at a time.
    """
    if session.compiled is None:
        return []
    context = EvaluationContext(session.declared_promises, StoredFacts(tx))
    carry = Carrying(lineage_of(session.compiled))
    return data_states(tx, context, carry, times, reads)


def state_rows(session: ProjectSession, states: Iterable[DataState]) -> list[DataStateRow]:
    """Return states as rows of a response, without what the session's identity may not see."""
    without_names = hiding(session)
    return for_reader(session, [_row(session, item, without_names) for item in states])


def _row(
    session: ProjectSession, item: DataState, without_names: Callable[[str], str]
) -> DataStateRow:
    named = session.shows(item.node)  # a view's reader may not see what it reads
    seen = named and session.shows(item.cause or item.node)
    return DataStateRow(
        state=item.state.value,
        node=item.node if named else HIDDEN,
        partitions=list(item.partitions[-PARTITIONS_MAX:]) if named else [],
        count=len(item.partitions),
        columns=list(item.columns),
        incident=display_id(item.incident) if seen and item.incident is not None else None,
        text=without_names(item.text) if seen else _HIDDEN_CAUSES[item.state],
        command=item.command if seen else None,
    )


def is_wrong(states: Iterable[DataState | DataStateRow]) -> bool:
    """Return whether any of these states is `wrong`."""
    return any(item.state == DataStateKind.WRONG for item in states)


def refuse_unsound(states: Sequence[DataStateRow]) -> None:
    """Raise DataUnsound if any of these states is `wrong` or `exception`."""
    unsound = [item for item in states if item.state in UNSOUND]
    if unsound:
        others = f" (and {len(unsound) - 1} more)" if len(unsound) > 1 else ""
        raise DataUnsound(f"{sentence(unsound[0])}{others}", hint=unsound[0].command or "")


def sentence(row: DataStateRow) -> str:
    """Return a state as one line: `revenue@2025-03-02 is wrong: INC-1 orders: …`."""
    at = row.node
    if row.partitions:
        more = f" and {row.count - 1} more" if row.count > 1 else ""
        at = f"{partition_argument(row.node, row.partitions[-1])}{more}"
    columns = f" ({', '.join(row.columns)})" if row.columns else ""
    word = "an exception" if row.state == DataStateKind.EXCEPTION else row.state
    return f"{at}{columns} {'are' if row.count > 1 else 'is'} {word}: {row.text}"


def metadata(**about: object) -> str:
    """Return what files that can hold metadata say of their rows, as JSON."""
    return encoded(about).decode()
