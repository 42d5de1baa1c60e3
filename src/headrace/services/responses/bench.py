"""The response of `bench`."""

from __future__ import annotations

from headrace.services.responses.base import Response


class Machine(Response, frozen=True, kw_only=True):
    """What was measured on. `load_before` is the load of the last minute when it began: figures of
    a busy machine are worse, their ratios hardly."""

    os: str
    cores: int | None
    memory_gib: float
    python: str
    date: str
    load_before: float


class BenchFigure(Response, frozen=True, kw_only=True):
    """One figure: the median of its `runs`. `floor/NAME` is the same work without Headrace, in the
    same rounds; `compare` says which direction is better. No goal is set for a user's machine."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    compare: str
    met: bool = True
    runs: list[float]
    against: dict[str, float]


class BenchResponse(Response, frozen=True, kw_only=True):
    """`bench`: figures in the order of their works. `folder` lies on the disk that was measured.
    With `quick` the figures only say that the works work. `commit` is null: an installed Headrace
    has a version."""

    machine: Machine
    commit: str | None = None
    version: str
    folder: str
    quick: bool
    figures: list[BenchFigure]
