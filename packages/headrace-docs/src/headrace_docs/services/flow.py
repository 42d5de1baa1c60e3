"""`docs diagram`: which data flowed in a window, around a domain or a consumer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from headrace.extension import (
    SEE,
    Asset,
    Compiled,
    Consumer,
    Duration,
    NodeGraph,
    Option,
    ProjectSession,
    Source,
    UsageError,
    command,
    did_you_mean,
    node_row,
    shown,
    usable,
)
from headrace_docs.diagrams.languages import LANGUAGES
from headrace_docs.responses.flow import FlowEdge, FlowNode, FlowResponse
from headrace_docs.services.describe import WINDOW, readers_of

_RAN = (
    "select node, count(*), sum(rows), max(published_at) from publication where published_at >="
    " :since and published_at <= :until group by node order by node"
)
_EARLIER = "select distinct node from publication where published_at < :since"


@command("docs diagram", SEE, lists=True)
def flow(
    session: ProjectSession,
    subject: str,
    language: Annotated[
        str,
        Option(
            "--format",
            metavar="FORMAT",
            help="drawio, mermaid (default), plantuml, structurizr or svg",
        ),
    ] = "mermaid",
    window: Annotated[
        str, Option("--window", metavar="D", help="what ran since then, back from now (30d)")
    ] = WINDOW,
) -> FlowResponse:
    """Return what flowed through a domain, or to a consumer, without the diagram itself.

    Raise UsageError for an unknown domain, consumer, format or window, InvalidProject if nothing is
    applied and the files have errors.
    """
    if language not in LANGUAGES:
        hint = did_you_mean(language, LANGUAGES) or f"one of {', '.join(LANGUAGES)}"
        raise UsageError(f"{shown(language)} is no format of diagrams", hint=hint)
    compiled = session.compiled or usable(session.declared())
    now_us = session.clock.now_us()
    since_us = Duration.parse(window).before_us(now_us, session.timezone)
    names = _around(session, compiled, subject)
    ran, earlier = _ran(session, since_us, now_us)
    nodes = [
        msgspec.structs.replace(node, ran_before=node.published_at is None and node.node in earlier)
        for node in (_node(session, compiled, name, ran) for name in names)
    ]
    gone = [
        _node(session, compiled, name, ran)
        for name in ran
        if session.visible is None and compiled.project.node(name) is None
    ]
    return FlowResponse(
        subject=subject,
        format=language,
        at=session.now(),
        since=session.instant(since_us),
        reader=session.identity.who,
        nodes=nodes + gone,
        edges=_edges(compiled, set(names), {node.node: node for node in nodes}),
    )


def drawn(response: FlowResponse) -> FlowResponse:
    """Return the response with its diagram, which has what the response has."""
    return msgspec.structs.replace(response, diagram=LANGUAGES[response.format](response))


def _around(session: ProjectSession, compiled: Compiled, subject: str) -> list[str]:
    """Return the nodes of a domain with their neighbours, or all that a consumer depends on."""
    visible = {node.name: node for node in compiled.project.nodes() if session.shows(node.name)}
    if subject in visible and subject in compiled.project.consumers:
        return sorted(visible.keys() & NodeGraph(compiled).upstream([subject]))
    inner = {name for name, node in visible.items() if node.domain == subject}
    if not inner:
        raise _unknown(subject, visible.values())
    beside = {name for pair in _reads(compiled) for name in pair if not inner.isdisjoint(pair)}
    return sorted(visible.keys() & (inner | beside))


def _unknown(subject: str, visible: Iterable[Source | Asset | Consumer]) -> UsageError:
    names = {node.name if isinstance(node, Consumer) else node.domain for node in visible}
    hint = did_you_mean(subject, sorted(filter(None, names)))
    return UsageError(
        f"{shown(subject)} is neither a domain nor a consumer",
        hint=hint or "headrace ls lists consumers, and headrace ls --json domains",
    )


def _reads(compiled: Compiled) -> list[tuple[str, str]]:
    """Return each declared read, from the node that is read to its reader."""
    return sorted(
        (node, edge.node)
        for node, edges in readers_of(compiled).items()
        for edge in edges
        if edge.mode != "depends"
    )


Ran = dict[str, tuple[int, int, int]]
"""Node → its partitions, rows and newest publication in the window."""


def _ran(session: ProjectSession, since_us: int, until_us: int) -> tuple[Ran, set[str]]:
    """Return what ran in the window, and the nodes that ran before it."""
    if session.store is None:
        return {}, set()
    with session.store.read() as tx:
        rows = tx.execute(_RAN, {"since": since_us, "until": until_us}).fetchall()
        earlier = {name for (name,) in tx.execute(_EARLIER, {"since": since_us}).fetchall()}
    return {name: (count, int(total or 0), newest) for name, count, total, newest in rows}, earlier


def _node(session: ProjectSession, compiled: Compiled, name: str, ran: Ran) -> FlowNode:
    partitions, rows, newest = ran.get(name, (0, 0, None))
    declared = compiled.project.node(name)
    return FlowNode(
        node=name,
        kind="gone" if declared is None else node_row(compiled.project, name).kind,
        domain=None if declared is None else declared.domain,
        partitions=partitions,
        rows=rows,
        published_at=None if newest is None else session.instant(newest),
    )


def _edges(compiled: Compiled, names: set[str], nodes: dict[str, FlowNode]) -> list[FlowEdge]:
    rows = []
    for read, reader in _reads(compiled):
        if read in names and reader in names:
            of = nodes[read] if nodes[reader].kind == "consumer" else nodes[reader]
            ran = of.published_at is not None and nodes[read].published_at is not None
            rows.append(FlowEdge(from_=read, to=reader, ran=ran, rows=nodes[read].rows))
    return rows
