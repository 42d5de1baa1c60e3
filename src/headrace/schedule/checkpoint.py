"""What a core knows of partitions, in a form that is written to the store and started from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from headrace.schedule.admission import Durations
from headrace.schedule.board import Board
from headrace.schedule.cells import AT_REST, Cell
from headrace.schedule.events import Checkpoint, KeptCell, KeptNode, Loaded, LoadedCell
from headrace.schedule.graph import Graph
from headrace.schedule.ranges import Resting, Runs
from headrace.schedule.states import PartitionState

FORM = 2
"""Of what is written: another release may write and understand another."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the store keeps it."""
    return _encoder.encode(checkpoint)


def decode(content: bytes) -> Checkpoint | None:
    """The inverse of `encode`; None for one that this release doesn't understand."""
    try:
        found = _decoder.decode(content)
    except msgspec.DecodeError:
        return None
    return found if found.form == FORM else None


def gathered(graph: Graph, rows: Iterable[LoadedCell]) -> Checkpoint:
    """What the rows of all partitions say; what else is expected isn't known yet."""
    board = Board({node.name: node for node in graph.nodes})
    for row in rows:
        if row.node in board.nodes:
            place(board, row)
    return taken(board, Durations(), complete=False)


def place(board: Board, row: LoadedCell) -> None:
    """A partition stands as the store says. What ran there runs no more."""
    board.place(row.node, row.key, AT_REST if _rests(row) else _loaded(row))
    if row.publication:
        board.publications[row.node] = row.publication


def _rests(row: LoadedCell) -> bool:
    flawless = row.published and row.state is PartitionState.PUBLISHED and row.not_before is None
    return flawless and not (row.stale or row.proposed or row.failures or row.reason)


def _loaded(row: LoadedCell) -> Cell:
    cell = Cell(PartitionState.WAITING if row.state is PartitionState.RUNNING else row.state)
    cell.stale, cell.failures, cell.not_before, cell.proposed = row.stale, row.failures, row.not_before, row.proposed
    cell.published, cell.since, cell.reason = row.published, row.since, row.reason
    cell.cap = 1 if row.failures else 0  # with whom it failed isn't in the store
    if cell.stale and not cell.proposed and cell.state is PartitionState.PUBLISHED:
        cell.state = PartitionState.WAITING
    return cell


def taken(board: Board, durations: Durations, *, complete: bool = True) -> Checkpoint:
    """What is known now. What is queued or runs is kept as waiting: whoever starts from this runs nothing yet."""
    nodes = {name: _node(board, name) for name in board.nodes if not board.empty(name) or name in board.expanded}
    cells = tuple(_kept(name, key, cell) for name, found in board.cells.items() for key, cell in found.items())
    return Checkpoint(FORM, nodes, cells, durations.means, complete, durations.paces)


def size(checkpoint: Checkpoint) -> int:
    """How many partitions it knows."""
    numbered = (Runs(edges) for node in checkpoint.nodes.values() for edges in node.runs.values())
    return sum(map(len, numbered)) + sum(len(node.named) for node in checkpoint.nodes.values()) + len(checkpoint.cells)


def restore(checkpoint: Checkpoint, board: Board, durations: Durations) -> None:
    """Make an empty board stand as it stood."""
    durations.means.update({name: mean for name, mean in checkpoint.durations.items() if name in board.nodes})
    durations.paces.update({name: pace for name, pace in checkpoint.paces.items() if name in board.nodes})
    for name, node in checkpoint.nodes.items():
        if name in board.nodes:
            _restore_node(board, name, node)
    for kept in checkpoint.cells:
        if kept.node in board.nodes:
            board.put(kept.node, kept.key, _cell(kept))
            if kept.published:
                board.visible.add(kept.node)


def _node(board: Board, name: str) -> KeptNode:
    resting = board.resting[name]
    return KeptNode(
        runs={data: tuple(runs.edges) for data, runs in resting.runs.items()},
        named=tuple(resting.named),
        oldest=board.oldest.get(name),
        newest=board.newest.get(name),
        publication=board.publications.get(name, 0),
        expanded=board.expanded.get(name, ""),
    )


def _restore_node(board: Board, name: str, node: KeptNode) -> None:
    resting = board.resting[name]
    resting.runs = {data: Runs(edges) for data, edges in node.runs.items()}
    resting.named = dict.fromkeys(node.named)
    if resting:
        board.visible.add(name)
    if node.oldest is not None and node.newest is not None:
        board.oldest[name], board.newest[name] = node.oldest, node.newest
    if node.publication:
        board.publications[name] = node.publication
    if node.expanded:
        board.expanded[name] = node.expanded


def _kept(name: str, key: str, cell: Cell) -> KeptCell:
    state = PartitionState.WAITING if cell.state is PartitionState.RUNNING else cell.state
    return KeptCell(
        name, key, state, cell.stale, cell.proposed, cell.late, cell.published, cell.failures, cell.not_before, cell.reason, cell.since,
        cell.cap,
    )  # fmt: skip


def _cell(kept: KeptCell) -> Cell:
    cell = Cell(kept.state)
    cell.stale, cell.proposed, cell.late, cell.published = kept.stale, kept.proposed, kept.late, kept.published
    cell.failures, cell.not_before, cell.reason, cell.since, cell.cap = kept.failures, kept.not_before, kept.reason, kept.since, kept.cap
    return cell


def differing(loaded: Loaded, whole: Checkpoint) -> Iterator[tuple[str, str]]:
    """The partitions that a checkpoint, with what has changed since, says otherwise than all rows do; what only inputs make expected,
    rows don't know."""
    nodes = {node.name: node for node in loaded.graph.nodes}
    one, other = Board(nodes), Board(nodes)
    restore(whole, other, Durations())
    if loaded.checkpoint is not None:
        restore(loaded.checkpoint, one, Durations())
    for row in loaded.cells:
        if row.node in nodes:
            place(one, row)
    for name in nodes:
        suspects = {*_differing_at_rest(one.resting[name], other.resting[name]), *one.cells[name], *other.cells[name]}
        yield from ((name, key) for key in sorted(suspects) if _shown(one.get(name, key)) != _shown(other.get(name, key)))


def _differing_at_rest(one: Resting, other: Resting) -> Iterator[str]:
    yield from one.named.keys() ^ other.named.keys()
    for data in one.runs.keys() | other.runs.keys():
        mine, theirs = one.runs.get(data, Runs()), other.runs.get(data, Runs())
        yield from (one.key(number, data) for number in (*mine.minus(theirs), *theirs.minus(mine)))


def _shown(cell: Cell | None) -> tuple[object, ...]:
    """What rows say of a partition, too; one that only waits may have none."""
    if cell is None:
        return (PartitionState.WAITING, False, False, False, 0)
    return (cell.state, cell.published, cell.stale, cell.proposed, cell.failures)
