"""Commands that change the state, asked of the process that leads."""

from __future__ import annotations

import subprocess
import sys

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
