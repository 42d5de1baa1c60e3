"""Decoders are made before threads share them: two threads that make one end the process."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import msgspec
from msgspec import _utils

made = []
forward = _utils._forward_ref
_utils._forward_ref = lambda value: made.append(value) or forward(value)

from pathlib import Path
import headrace.cli.server
from headrace.plan import Compiled
from headrace.project.parameters import command_function
from headrace.web.project_reader import ProjectReader

ProjectReader(Path.cwd(), "prod")
assert made
made.clear()
msgspec.msgpack.Decoder(Compiled)
assert made == [], made

first = command_function("keys:key_status")
from headrace.responses.keys import KeyRotationRow
made.clear()
msgspec.json.Decoder(KeyRotationRow)
assert made == [], made
"""


def test_threads_of_a_server_find_all_decoders_made() -> None:
    """Would catch: a server that ends by a segmentation fault because two of its threads first
    decode one type at once (msgspec 0.22.0)."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
