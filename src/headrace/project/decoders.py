"""Decoders of struct types, made before the threads of a server share them.

msgspec 0.22.0 makes the decoder of a type when it is first decoded. Two threads that do so at once
end the process by a segmentation fault.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import msgspec

_LOCK = threading.Lock()
_made: set[type] = set()
"""The types whose decoders are made; empty in a process that doesn't serve."""


def make_decoders() -> None:
    """Make the decoders of all types of Headrace, and of packages whose name begins with it, that
    are loaded: about 800 in 0.2 s.

    From then on, `parameters.command_function` makes those of the modules that it imports.
    """
    with _LOCK:
        for kind in _loaded(msgspec.Struct):
            if kind not in _made and kind.__module__.startswith("headrace"):
                # it is never decoded, or its module isn't imported to its end
                with suppress(NameError, TypeError):
                    msgspec.json.Decoder(kind)
                    _made.add(kind)


def are_shared() -> bool:
    """Return whether threads of a server share decoders."""
    return bool(_made)


def _loaded(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in kind.__subclasses__():
        yield each
        yield from _loaded(each)
