"""B4 Messages to workers are ids and values: nothing in them is run or made by its name."""

from __future__ import annotations

import pickle
import random

import msgspec
import pytest

from headrace.runtime.messages import ObserveTask
from headrace.runtime.worker_protocol import tasks_decoder

HOSTILE = (
    msgspec.msgpack.encode(msgspec.msgpack.Ext(1, pickle.dumps(print))),
    msgspec.msgpack.encode({"type": "subprocess.Popen", "args": ["touch", "pwned"]}),
    msgspec.msgpack.encode({"__classname__": "os.system", "type": "look_at"}),
    msgspec.msgpack.encode({"type": "look_at", "attempt": ["0.1"], "source": "x", "connection": 1}),
    msgspec.msgpack.encode([["nested"]] * 3),
    pickle.dumps({"a": 1}),
    b"\x91" * 100_000,
    b"\xc1",
    b"",
)


@pytest.mark.parametrize("message", HOSTILE, ids=range(len(HOSTILE)))
def test_b4_a_message_of_another_form_is_refused(message: bytes) -> None:
    """B4. Would catch: a message that names a class or a function, or ends the worker by nesting."""
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        tasks_decoder().decode(message)


def test_b4_a_damaged_message_is_refused_or_is_a_task() -> None:
    """B4. Would catch: bytes that crash the decoder, or become something else than a task."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, decoder = random.Random(seed), tasks_decoder()
    for _ in range(10_000):
        message = bytes(chance.randrange(256) for _ in range(chance.randrange(60)))
        try:
            assert hasattr(decoder.decode(message), "attempt")
        except msgspec.DecodeError:
            continue
    assert ObserveTask.__struct_config__.tag == "look_at"
