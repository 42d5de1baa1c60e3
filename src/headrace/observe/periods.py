"""Since when a consumer is late, or served, without a break. Pure, over its obligations in the order of their deadlines.

By `due`, it is late at a time if the newest obligation that was due then wasn't met; older ones are backlog. Under
`max_age` any hole makes what can be read too old (`every`).
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.obligations import Obligation


def late_run(due: Sequence[Obligation], now_us: int, *, every: bool) -> Sequence[Obligation]:
    """The obligations through which it has been late without a break until now, the first of which made it so; empty if
    it isn't late. `due` holds those whose deadline has passed."""
    if every:
        first = next((place for place, obligation in enumerate(due) if obligation.open_at(now_us)), len(due))
        while (before := _open_before(due, first)) is not None:
            first = before
        return due[first:]
    if not due or not due[-1].open_at(now_us):
        return ()
    first = len(due) - 1
    while first > 0 and due[first - 1].open_until(due[first].due_at_us):
        first -= 1
    return due[first:]


def unserved(obligations: Sequence[Obligation], now_us: int, *, every: bool) -> list[Obligation]:
    """What is due and neither met nor waived, in the order in which it tells why a consumer isn't
    served: first that for which it became late, and what followed, then older ones, the newest first."""
    due = [obligation for obligation in obligations if obligation.due_at_us <= now_us]
    late = [obligation for obligation in late_run(due, now_us, every=every) if not obligation.settled]
    older = due[: due.index(late[0])] if late else due
    return [*late, *(obligation for obligation in reversed(older) if not obligation.settled)]


def _open_before(due: Sequence[Obligation], place: int) -> int | None:
    """The first obligation that was already late when the one at `place` became late; None if none was."""
    if place == len(due):
        return None
    return next((earlier for earlier in range(place) if due[earlier].open_until(due[place].due_at_us)), None)


def served_since(due: Sequence[Obligation], obligations: Sequence[Obligation], *, every: bool) -> int | None:
    """Since when it hasn't been late, of one that isn't late now; where it never was, when its first interval was met.

    `found` also holds obligations that aren't due yet.
    """
    if not due:
        return min((obligation.met_at_us for obligation in obligations if obligation.met_at_us is not None), default=None)
    return _since_all_settled(due) if every else _since_newest_settled(due)


def _since_all_settled(due: Sequence[Obligation]) -> int:
    ends = [_settled(obligation) for obligation in due if _settled(obligation) > obligation.due_at_us]
    return max(ends) if ends else _settled(due[0])


def _since_newest_settled(due: Sequence[Obligation]) -> int:
    since = _settled(due[-1])
    if since > due[-1].due_at_us:
        return since
    for later, obligation in zip(reversed(due), reversed(due[:-1]), strict=False):
        if obligation.open_at(later.due_at_us):
            return later.due_at_us  # the newest due was late until the next fell due, which was met by then
        if _settled(obligation) > obligation.due_at_us:
            return _settled(obligation)
    return _settled(due[0])


def _settled(obligation: Obligation) -> int:
    """When it was met or waived, of one that isn't open any more; else its deadline."""
    return obligation.due_at_us if obligation.settled_at_us is None else obligation.settled_at_us
