"""`what-if` for a page of the web UI: one night by default, and small enough for a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, Refused, command, command_line
from headrace.model import Grain
from headrace.model.settings import PRODUCTION
from headrace.plan import Compiled
from headrace.runtime.graph import graph_of
from headrace.scheduler import GraphNode
from headrace_advisor.responses.what_if import WhatIfPage
from headrace_advisor.services.what_if import SAMPLES, SEED, what_if

DAYS_MAX = 7
PARTITIONS_MAX = 15_000
"""Partitions of a simulation in a request; they take about two seconds."""
A_DAY_MAX = 300
"""Partitions of a day up to which also the test on past days takes about two seconds."""
SAMPLES_MIN = 5
HOURS = 24


class WhatIfQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"changes": "set"}):
    """The changes and the days of a simulation, as `headrace what-if` takes them."""

    changes: Sequence[str] = ()
    """workers=4, source.S.delay=1h, …"""
    without: Sequence[str] = ()
    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = 1
    samples: Annotated[int, Meta(ge=1, le=SAMPLES)] = SAMPLES
    seed: Annotated[int, Meta(ge=0, le=2**31)] = SEED


@command(
    "what-if page",
    SEE,
    http="GET /what-if what_if",
    rows=True,
    not_for_agents="`what-if` simulates the same, and more",
)
def what_if_page(session: ProjectSession, query: WhatIfQuery) -> WhatIfPage:
    """Simulate the intervals that end tomorrow, as things are and with changes.

    As `what_if`, but of at most 7 days and with fewer samples in large projects. Nothing is run,
    and nothing is changed.

    Raise Refused if nothing is applied yet, or the project is too large for a request.
    """
    if session.store is None or session.compiled is None:
        raise Refused("nothing is applied yet, so nothing can be simulated", hint="headrace apply")
    a_day = _partitions_a_day(session.compiled)
    if a_day > A_DAY_MAX:
        raise Refused(
            f"the project has {a_day:,} partitions a day; a page simulates at most {A_DAY_MAX}",
            hint=_command(session, query, query.samples),
        )
    possible = max(SAMPLES_MIN, PARTITIONS_MAX // (2 * max(1, a_day) * query.days))
    samples = min(query.samples, possible)
    return WhatIfPage(
        command=_command(session, query, samples),
        simulated=what_if(
            session,
            query.changes,
            without=query.without,
            days=query.days,
            samples=samples,
            seed=query.seed,
        ),
    )


def _partitions_a_day(compiled: Compiled) -> int:
    return sum(map(_of_node, graph_of(compiled).nodes))


def _of_node(node: GraphNode) -> int:
    hours = HOURS if node.partition.grain is Grain.HOUR else 1
    return hours * max(1, len(node.partition.values or ()))


def _command(session: ProjectSession, query: WhatIfQuery, samples: int) -> str:
    """Return the command with the same answer."""
    return command_line(
        *([] if session.env == PRODUCTION else ["--env", session.env]),
        "what-if",
        *(word for change in query.changes for word in ("--set", change)),
        *(word for asset in query.without for word in ("--without", asset)),
        *("--days", str(query.days), "--samples", str(samples), "--seed", str(query.seed)),
    )
