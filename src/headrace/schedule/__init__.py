"""The pure core: (state, event, now) -> commands. No IO, no clock, no randomness of its own.

`Core.handle` decides what runs next; policies (readiness, priority, admission, retry) are files of their own.
"""

from headrace.schedule.commands import Command, Dispatch, Kill, Mark
from headrace.schedule.core import Core, Waiting
from headrace.schedule.events import (
    Arrived,
    AttemptId,
    Clock,
    Ended,
    Event,
    Loaded,
    LoadedCell,
    Published,
    Refreshed,
    Requested,
    Target,
    WorkerLost,
)
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.states import AttemptState, FailureKind, PartitionState

__all__ = [
    "Arrived",
    "AttemptId",
    "AttemptState",
    "Clock",
    "Command",
    "Core",
    "Dispatch",
    "Ended",
    "Event",
    "FailureKind",
    "Graph",
    "GraphNode",
    "Kill",
    "Loaded",
    "LoadedCell",
    "Mark",
    "PartitionState",
    "Published",
    "Refreshed",
    "Requested",
    "Target",
    "Waiting",
    "WorkerLost",
]
