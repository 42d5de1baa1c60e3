"""Analysis of statements in an estimated order, so that most of them are parsed only once.

A statement is analysed twice: by its text alone, which gives its inputs, and again when the columns
of its inputs are known. Both need its tree, which is too large to send or to keep for every
statement. The order of dependencies would let one process do both at once, but it is known only
when every text was analysed. So the order is estimated from words, and an output that is determined
this way is used only if the request for it equals the final one (`Assembler`). A wrong estimate
costs the time to parse some statements again.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from headrace.compiler.worker import (
    Answer,
    Message,
    OutputSchemaRequests,
    OutputSchemas,
    ReadTexts,
    TextsRead,
)
from headrace.compiler.workers import CHUNK
from headrace.plan.graph import layers
from headrace.plan.schemas import (
    AssetText,
    AssetTextAnalysis,
    OutputSchema,
    OutputSchemaRequest,
)

HELD_MAX = 2 * CHUNK
"""Statements of one process whose outputs aren't known yet; their trees are in its memory, in the
cache of `sql.parsing.parse`, which has room for a few more."""

_AFTER_FROM = re.compile(r"\b(?:from|join)\s+\"?(\w+)", re.IGNORECASE)


class Statements(Protocol):
    """The nodes of a project, with what is known of them so far."""

    def take_analysis(self, text: AssetText, read: AssetTextAnalysis) -> bool:
        """Take the analysis of a text; return whether its output can be requested."""

    def early_request(self, name: str) -> OutputSchemaRequest | None:
        """Return the request for an output; None while the columns of an input aren't known."""

    def take_early(
        self, name: str, request: OutputSchemaRequest, schema: OutputSchema, lines: msgspec.Raw
    ) -> None:
        """Take an output."""


class Speculation:
    """The analyses of texts and the requests for their outputs, as work of a pool."""

    def __init__(
        self, texts: Sequence[AssetText], statements: Statements, step: Callable[..., None]
    ) -> None:
        self._waiting = deque(in_estimated_order(texts))
        self._statements, self._step = statements, step
        self._held: dict[int, list[str]] = {}
        self._requested: dict[int, list[str]] = {}
        self._messages = 0

    def next(self, process: int) -> Message | None:
        """Return a request for the outputs that can be determined, or else the next texts."""
        held = self._held.setdefault(process, [])
        requests = self._requests(process, held)
        if requests:
            self._messages += 1
            return OutputSchemaRequests(requests, last=not held)
        if len(held) >= HELD_MAX and not self._messages:
            held.clear()  # no answer will come that they wait for
        if not self._waiting or len(held) >= HELD_MAX:
            return None
        self._messages += 1
        return ReadTexts(
            tuple(self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting))))
        )

    def take(self, process: int, message: Message, received: Answer) -> None:
        """Pass an answer on."""
        self._messages -= 1
        if isinstance(message, ReadTexts) and isinstance(received, TextsRead):
            for text, read in zip(message.texts, received.reads, strict=True):
                if self._statements.take_analysis(text, read):
                    self._held[process].append(text.name)
            self._step(len(message.texts))
        elif isinstance(message, OutputSchemaRequests) and isinstance(received, OutputSchemas):
            names = self._requested.pop(process)
            for name, request, (schema, lines) in zip(
                names, message.wanted, received.given, strict=True
            ):
                self._statements.take_early(name, request, schema, lines)
            self._step(len(names))

    def _requests(self, process: int, held: list[str]) -> tuple[OutputSchemaRequest, ...]:
        """Return the requests that are possible now, and remove their names from `held`."""
        ready = {
            name: request
            for name in held
            if (request := self._statements.early_request(name)) is not None
        }
        if ready:
            held[:] = [name for name in held if name not in ready]
            self._requested[process] = list(ready)
            self._step(0, len(ready))
        return tuple(ready.values())


def in_estimated_order(texts: Sequence[AssetText]) -> list[AssetText]:
    """Return the texts so that most come after those whose names follow a FROM or JOIN in them."""
    by_name = {text.name.lower(): text for text in texts}
    edges: Mapping[str, Sequence[str]] = {
        name: [word.lower() for word in _AFTER_FROM.findall(text.body[0])]
        for name, text in by_name.items()
        if text.body is not None
    }
    return [by_name[name] for layer in layers(edges, by_name) for name in layer]
