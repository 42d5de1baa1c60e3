"""What an editor shows of a table or a column: declaration, promises, lineage, freshness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from headrace.extension import (
    SEE,
    Asset,
    Compiled,
    CompiledNode,
    Consumer,
    HeadraceError,
    NodeGraph,
    ProjectSession,
    command,
    counted,
    few,
    node_row,
    project_state,
)
from headrace_lsp.index import Index
from headrace_lsp.occurrences import Occurrence

COLUMNS_MAX = 30


class Freshness(NamedTuple):
    """How current the published data of a node is."""

    state: str
    newest: str | None
    """The newest published partition."""
    published: str | None


@command("status", SEE)
def freshness(session: ProjectSession, node: str) -> Freshness | None:
    """Return the freshness of a source or asset; None if nothing is applied or it isn't shown."""
    if session.store is None or session.compiled is None or not session.shows(node):
        return None
    with project_state(session, session.clock.now_us()) as snapshot:
        state = snapshot.nodes.states.get(node)
        newest = snapshot.facts.newest(node)
    if state is None:
        return None
    if newest is None:
        return Freshness(state, None, None)
    published = session.instant(newest.at_us).strftime("%Y-%m-%d %H:%M")
    return Freshness(state, newest.partition, published)


def hover_text(index: Index, named: Occurrence, opened: Callable[[], ProjectSession]) -> str:
    """Return Markdown about a node, or about a column of it."""
    if named.column is not None:
        return "\n\n".join(_column(index, named.node, named.column))
    declared = index.compiled.project.node(named.node)
    if declared is None:
        return ""
    if isinstance(declared, Consumer):
        return "\n\n".join(_consumer(declared))
    return "\n\n".join((*_node(index.compiled, named.node), *_freshness(named.node, opened)))


def _consumer(consumer: Consumer) -> Iterator[str]:
    yield f"**consumer {consumer.name}** · owner {consumer.owner}"
    if consumer.description:
        yield consumer.description
    yield f"{_promise(consumer)}; reads {few(consumer.reads)}"


def _promise(consumer: Consumer) -> str:
    if consumer.due is not None:
        return f"due {consumer.due}"
    return f"at most {consumer.max_age} old" if consumer.max_age is not None else "no promise"


def _node(compiled: Compiled, name: str) -> Iterator[str]:
    project = compiled.project
    declared = project.source_or_asset(name)
    assert declared is not None
    row = node_row(project, name)
    kind = f"{row.body} asset" if isinstance(declared, Asset) else "source"
    yield f"**{kind} {name}** · owner {declared.owner} · partition {row.partition}"
    if declared.description:
        yield declared.description
    node = compiled.nodes[name]
    if node.column_names is not None:
        yield _columns(node)
    if node.inputs:
        yield f"reads {few([spec.node for spec in node.inputs])}"
    downstream = NodeGraph(compiled).downstream([name])
    consumers = [item for key, item in project.consumers.items() if key in downstream]
    if consumers:
        yield "needed by " + few([f"{item.name} ({_promise(item)})" for item in consumers])
    if declared.checks:
        yield counted(len(declared.checks), "check")


def _columns(node: CompiledNode) -> str:
    types = dict(node.columns or ())
    listed = [f"{item} {types.get(item, '')}".rstrip() for item in node.column_names or ()]
    more = f"\n… {len(listed) - COLUMNS_MAX} more" if len(listed) > COLUMNS_MAX else ""
    return "```sql\n" + "\n".join(listed[:COLUMNS_MAX]) + more + "\n```"


def _freshness(node: str, opened: Callable[[], ProjectSession]) -> Iterator[str]:
    session = opened()
    try:
        state = freshness(session, node)
    except HeadraceError:  # no usable state, or not for this user: nothing is said of it
        return
    finally:
        session.close()
    if state is None:
        yield "not applied"
    elif state.newest is None:
        yield "nothing is published"
    else:
        newest = "" if state.newest == "*" else f", newest partition {state.newest}"
        yield f"{state.state}{newest}, published {state.published}"


def _column(index: Index, node: str, column: str) -> Iterator[str]:
    known = index.compiled.nodes[node].columns or ()
    yield f"**{node}.{column}** {dict(known).get(column, 'type unknown')}"
    declared = index.compiled.project.source_or_asset(node)
    if declared is not None:
        yield f"owner {declared.owner}"
    try:
        above = index.lineage.upstream(node, column)
        below = index.lineage.downstream(node, column)
    except HeadraceError:  # the former columns of a query that can't be read now
        return
    if above:
        yield "from " + few([f"{step.column} ({step.transformation})" for step in above])
    if below:
        yield "used by " + few(list(dict.fromkeys(step.column for step in below)))
