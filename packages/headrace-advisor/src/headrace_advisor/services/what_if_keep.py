"""`what-if --keep`: what is asked for, and the answer in words."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from headrace.extension import UsageError
from headrace.model import Project
from headrace.slo.availability import percent
from headrace_advisor.analysis.promise_search import SearchResult
from headrace_advisor.responses.what_if import KeepRow

KEEP_SHARE = "99%"


class Wanted(NamedTuple):
    """What `--keep` asks for; `share` is from 0 to 1."""

    due: str
    consumers: tuple[str, ...]
    share: float


def wanted_promise(project: Project, keep: str | None, share: str | None) -> Wanted | None:
    """Return what `--keep` and `--in` ask for. Raise UsageError if they can't be read."""
    if keep is None:
        if share is not None:
            raise UsageError(
                "--in belongs to --keep", hint="headrace what-if --keep 07:00 --in 99%"
            )
        return None
    name, equals, due = keep.rpartition("=")
    daily = [item.name for item in project.consumers.values() if item.due is not None]
    if not equals and not daily:
        raise UsageError(
            "no consumer has a deadline by time of day", hint="name one: --keep CONSUMER=07:00"
        )
    consumers = (name,) if equals else tuple(daily)
    return Wanted(due, consumers, _share(share or KEEP_SHARE))


def _share(text: str) -> float:
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise UsageError(f"--in {text[:20]} isn't a percentage", hint="--in 99%")
    return value / 100


def keep_row(wanted: Wanted, search: SearchResult, ways: list[str]) -> KeepRow:
    """Return the result of a search; `ways` are its changes in words."""
    in_time = percent(fraction(search.way.kept))
    aim = f"{wanted.due} in {wanted.share * 100:g} %"
    if search.reached and not ways:
        text = f"{aim}: kept as things are ({in_time} % simulated)"
    elif search.reached:
        text = f"the cheapest way to keep {aim}: {', '.join(ways)} ({in_time} % simulated)"
    elif search.possible < wanted.share:
        text = (
            f"{aim} can't be kept: {percent(fraction(search.possible))} % even if all work took no"
            " time; the deliveries, or what starts the work, come too late"
        )
    else:
        best = f"; the best was {', '.join(ways)}" if ways else ""
        text = f"{aim}: none of {search.tried} ways keeps it{best} ({in_time} %)"
    return KeepRow(
        due=wanted.due,
        percent=f"{wanted.share * 100:g}",
        consumers=list(wanted.consumers),
        reached=search.reached,
        kept=in_time,
        possible=percent(fraction(search.possible)),
        changes=ways,
        tried=search.tried,
        text=text,
    )


def fraction(share: float) -> Fraction:
    """Return a share as a fraction."""
    return Fraction(round(share * 10**9), 10**9)
