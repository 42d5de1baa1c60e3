"""Cycles in a graph of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """One cycle for each knot of nodes that wait for each other, as a walk that ends where it began: `[a, b, a]`.

    `edges` maps a name to the names that it waits for; names without an entry wait for nothing. Without recursion: a chain of
    10,000 is no problem. Each cycle begins with its smallest name, so that it is the same from run to run.
    """
    done: set[str] = set()
    results: list[list[str]] = []
    for start in edges:
        if start not in done:
            _walk(start, edges, done, results)
    return results


def _walk(start: str, edges: Mapping[str, Iterable[str]], done: set[str], results: list[list[str]]) -> None:
    path, position = [start], {start: 0}
    waiting = [iter(edges.get(start, ()))]
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
            finished = path.pop()
            del position[finished]
            done.add(finished)
        elif name in position:
            results.append(_from_smallest(path[position[name] :]))
        elif name not in done:
            path.append(name)
            position[name] = len(path) - 1
            waiting.append(iter(edges.get(name, ())))


def _from_smallest(cycle: list[str]) -> list[str]:
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[:first], cycle[first]]
