"""The pure core: (state, event, now) -> commands. No IO, no clock, no randomness of its own.

`Core.handle` decides what runs next; policies (readiness, priority, admission, retry) are files of their own.
"""

from headrace.schedule.commands import CANCELLED, Command, Dispatch, FiredAt, Kill, Mark, Settled, Waiting
from headrace.schedule.core import Core
from headrace.schedule.events import (
    Arrived,
    AttemptId,
    Cancelled,
    Checkpoint,
    Clock,
    Ended,
    Event,
    Fired,
    Loaded,
    LoadedCell,
    LoadedRunning,
    Paused,
    Published,
    Refreshed,
    Requested,
    Resumed,
    TakenBack,
    Target,
    WorkerLost,
)
from headrace.schedule.graph import Graph, GraphNode, Promise, Take, Trigger
from headrace.schedule.states import AttemptState, FailureKind, PartitionState

__all__ = [
    "CANCELLED",
    "Arrived",
    "AttemptId",
    "AttemptState",
    "Cancelled",
    "Checkpoint",
    "Clock",
    "Command",
    "Core",
    "Dispatch",
    "Ended",
    "Event",
    "FailureKind",
    "Fired",
    "FiredAt",
    "Graph",
    "GraphNode",
    "Kill",
    "Loaded",
    "LoadedCell",
    "LoadedRunning",
    "Mark",
    "PartitionState",
    "Paused",
    "Promise",
    "Published",
    "Refreshed",
    "Requested",
    "Resumed",
    "Settled",
    "Take",
    "TakenBack",
    "Target",
    "Trigger",
    "Waiting",
    "WorkerLost",
]
