"""`quarantine accept INC-1` and `quarantine drop INC-1`: one decision about all that waits because of one incident."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from headrace.model import HeadraceError, Refused, UsageError
from headrace.model.commands import command_line, place
from headrace.model.required import WHOLE
from headrace.operations import quarantine_deciding, reasons
from headrace.operations.held_by_incidents import decided_together, waiting_for
from headrace.operations.incidents import found_in, number_of
from headrace.operations.interventions import DecisionResponse, UndecidedRow
from headrace.operations.progress import Progress
from headrace.operations.session import ProjectSession
from headrace.store.queries import drift, evidence, incidents, quarantine

_ID = re.compile(r"inc-\d{1,15}", re.IGNORECASE)
_DECIDED = ("published", "dropped")


def accept(session: ProjectSession, target: str, *, reason: str | None, until: str | None, progress: Progress) -> DecisionResponse:
    """Publish as an exception what waits of one partition, or all that waits because of an incident.
    Raises as `quarantine_deciding.accept` does; UsageError where nothing waits because of it."""

    def decide(place: str) -> DecisionResponse:
        return quarantine_deciding.accept(
            session,
            place,
            reason=reason,
            until=until,
            progress=progress,
        )

    return _decided(session, "accept", target, reason, decide)


def drop(session: ProjectSession, target: str, *, reason: str | None, progress: Progress) -> DecisionResponse:
    """The same for what will never be published."""

    def decide(place: str) -> DecisionResponse:
        return quarantine_deciding.drop(session, place, reason=reason, progress=progress)

    return _decided(session, "drop", target, reason, decide)


def _require_names(session: ProjectSession, node: str, key: str) -> None:
    """Refused where a delivery waits for the names of its columns."""
    if session.store is None:
        return
    with session.store.read() as tx:
        if not drift.renames_wait(tx, node, key):
            return
        reason = quarantine.waiting(tx, node=node, partition=key)[0].reason.partition(";")[0]
    text = f"the new names of its columns have to be decided first: {reason}"
    raise Refused(text, hint=command_line("contract", "accept", place(node, key)))


def _decided(
    session: ProjectSession,
    word: str,
    target: str,
    reason: str | None,
    decide: Callable[[str], DecisionResponse],
) -> DecisionResponse:
    if _ID.fullmatch(target.strip()) is None:
        return _with_others(session, word, decide(target))
    reasons.given(reason, f"quarantine {word}", "who waits for the data has to know why")
    places = _places(session, target, lapsed=word == "accept")
    if not places:
        hint = "headrace quarantine lists what does"
        raise UsageError(f"nothing waits in quarantine because of {target.upper()}", hint=hint)
    documents, done, failed = list[DecisionResponse](), set[tuple[str, str]](), list[tuple[str, HeadraceError]]()
    for node, key in places:
        if (node, key) in done:  # what one file brought is decided at once
            continue
        try:
            if word == "accept":
                _require_names(session, node, key)
            documents.append(decide(place(node, key)))
        except HeadraceError as error:  # what was decided before it is decided, and has to be reported
            failed.append((place(node, key), error))
            continue
        done |= {(node, partition) for partition in documents[-1].partitions}
    if not documents:
        raise failed[0][1]
    return _together(documents, failed)


def _places(session: ProjectSession, target: str, *, lapsed: bool) -> list[tuple[str, str]]:
    """(node, partition) of what waits because of an incident; of exceptions that have `lapsed`, too."""
    if session.store is None:
        return []
    with session.store.read() as tx:
        incident = found_in(tx, number_of(target))
        again = [(node, key or WHOLE) for node, key in evidence.lapsed_of(tx, incident.id)] if lapsed else []
        waiting = [(row.node, row.partition) for row in waiting_for(tx, incident)]
    return list(dict.fromkeys([*waiting, *again]))


def _together(documents: list[DecisionResponse], failed: Sequence[tuple[str, HeadraceError]]) -> DecisionResponse:
    """One document of several decisions, with those that couldn't be made."""
    states = {response.state for response in documents} | {"partial" for _ in failed}
    nodes = list(dict.fromkeys(response.asset for response in documents))
    counts = [response.rows for response in documents]
    return msgspec.structs.replace(
        documents[-1],
        asset=", ".join(nodes),
        partitions=[key for response in documents for key in response.partitions],
        state=states.pop() if len(states) == 1 else "partial",
        rows=None if None in counts else sum(count or 0 for count in counts),
        why="; ".join(dict.fromkeys(response.why for response in documents if response.why)),
        published=[row for response in documents for row in response.published],
        rejected=[row for response in documents for row in response.rejected],
        counts=documents[0].counts if len(documents) == 1 else None,
        consumers=sorted({name for response in documents for name in response.consumers}),
        undecided=[UndecidedRow(partition=at, reason=str(error), hint=error.hint or "") for at, error in failed],
        still_waiting=[at for at, _ in failed] or documents[-1].still_waiting,
        next=_next_of(failed) if failed else documents[-1].next,
    )


def _next_of(failed: Sequence[tuple[str, HeadraceError]]) -> str:
    """What is typed about the first that couldn't be decided: the command that its error names."""
    at, error = failed[0]
    return error.hint if error.hint.startswith("headrace ") else command_line("quarantine", at)


def _with_others(session: ProjectSession, word: str, response: DecisionResponse) -> DecisionResponse:
    """With what else waits because of the same incident, and the command that decides about that."""
    if session.store is None or response.state not in _DECIDED:
        return response
    with session.store.read() as tx:
        result = (incidents.open_at(tx, response.asset, key) for key in response.partitions)
        incident = next((incident for incident in result if incident is not None), None)
        rows = waiting_for(tx, incident) if incident is not None else []
        together = decided_together(tx, incident, word) if incident is not None else []
    if incident is None or not rows:
        return response
    waiting = list(dict.fromkeys(place(row.node, row.partition) for row in rows))
    decide = command_line("quarantine", word, incident.shown, "--reason", response.reason)
    return msgspec.structs.replace(
        response,
        still_waiting=waiting,
        next=decide if together else command_line("contract", "accept", waiting[0]),
    )
