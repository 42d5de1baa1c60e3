"""Histories: what a core was told and what it decided, so that any later core can be held to the same decisions.

A leader journals a row each time that it tells its core something: the events, in order, and a digest of the commands that came
of them. Replaying the events with another core must come to the same digests; where it doesn't, a decision has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from headrace.schedule.commands import Command, Dispatch
from headrace.schedule.core import Core
from headrace.schedule.events import Event, Loaded

DIGEST_BYTES = 16

_encoder = msgspec.msgpack.Encoder()
_ordered = msgspec.msgpack.Encoder(order="deterministic")  # events hold sets, whose order isn't the same in every process
_events = msgspec.msgpack.Decoder(tuple[Event, ...])


class LoopIteration(msgspec.Struct, frozen=True, array_like=True):
    """At `now` a core was told `events`, all at once (`Core.handle_all`); `digest` is that of all commands that came of them."""

    now: int
    events: tuple[Event, ...]
    digest: bytes


class LeaderHistory(msgspec.Struct, frozen=True):
    """The turns of one leader, from its first `Loaded` on. `slots` are the workers that it had."""

    epoch: int
    slots: int
    turns: tuple[LoopIteration, ...]
    after: int = 0
    """The number that those of its attempts come after: a plan's core has its own."""


class ReplayDifference(msgspec.Struct, frozen=True):
    """A turn that comes to something else now. `commands` are what it comes to; `error` is why the core couldn't go on."""

    turn: int
    now: int
    events: tuple[Event, ...]
    commands: tuple[Command, ...]
    error: str = ""


def encode(events: Sequence[Event]) -> bytes:
    """The events of one turn, in order, as the journal keeps them; the same bytes in every process."""
    return _ordered.encode(events)


def decode(events: bytes) -> tuple[Event, ...]:
    """The inverse of `encode`; msgspec.DecodeError for anything else."""
    return _events.decode(events)


def digest(commands: Sequence[Command]) -> bytes:
    """What all commands of one turn are compared by, in DIGEST_BYTES bytes."""
    return hashlib.blake2b(_encoder.encode(commands), digest_size=DIGEST_BYTES).digest()


def replay(history: LeaderHistory) -> list[ReplayDifference]:
    """The turns in which today's core decides otherwise; none if it decides as it did. It ends at an event that the core
    can't handle any more, for that follows from an earlier difference."""
    differences: list[ReplayDifference] = []
    player = _Player(history.epoch, history.slots, history.after)
    for number, turn in enumerate(history.turns):
        try:
            commands = player.play(turn.events, turn.now)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            return [*differences, ReplayDifference(number, turn.now, turn.events, (), f"{type(error).__name__}: {error}")]
        if digest(commands) != turn.digest:
            differences.append(ReplayDifference(number, turn.now, turn.events, tuple(commands)))
    return differences


class _Player:
    """Hands events to a core as a leader does, those of a turn at once: what is loaded anew goes to a new one, whose attempts are
    numbered on."""

    def __init__(self, epoch: int, slots: int, after: int) -> None:
        self._epoch, self._slots, self._last_n = epoch, slots, after
        self._core: Core | None = None

    def play(self, events: Sequence[Event], now: int) -> list[Command]:
        if self._core is None or any(isinstance(event, Loaded) for event in events):
            self._core = Core(epoch=self._epoch, slots=self._slots, after=self._last_n)
        made = self._core.handle_all(events, now)
        self._last_n = max([self._last_n, *(dispatch.attempt.n for dispatch in made if isinstance(dispatch, Dispatch))])
        return made
