"""Commands that change the state, asked of the process that leads."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from headrace.acts.command_context import CommandContext
from headrace.acts.commands import LeaderCommand
from headrace.responses import Response

CHECK = """
import importlib, msgspec, pkgutil
import headrace.services as package
from headrace.acts.commands import COMMANDS, REQUESTABLE
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"headrace.services.{module.name}")
for name, command in sorted(COMMANDS.items()):
    place = command.do.__module__.rpartition(".")[2]
    if REQUESTABLE.get(name) != place:
        print(name, place)
    for field in msgspec.structs.fields(command.message):
        print(end="" if field.name in command.do.__annotations__ else name)
"""


def test_each_command_can_be_asked_of_another_process() -> None:
    """Would catch: a command that works only while no server runs. Beside one, `erase` stopped at
    its exports, and `db gc` at what can be rebuilt: "this leader doesn't know the command"."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_request_keeps_numbers_as_keys() -> None:
    """Would catch: `erase` and `unpublish` of tables with nested columns, whose field ids are keys,
    that work only while no server runs."""

    def do(context: CommandContext, ids: dict[int, str]) -> Response:
        raise AssertionError

    command = LeaderCommand("nested", Response, do)
    written = msgspec.json.encode(msgspec.to_builtins(command.message({7: "x"})))
    assert command.received(msgspec.json.decode(written)) == {"ids": {7: "x"}}
