"""Kill an import at each of its writes, in a folder, and finish it by the same command.

Prints how often it was killed. Ends with an error if a folder isn't as after an import that nobody
killed. Each import is a fork, so that the kill is a real one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.project.session import Silent
from headrace_import.services.project import import_project

FLOW = "from prefect import flow\n@flow\ndef {name}():\n    pass\n"
Work = Callable[[], object]


def forked(work: Work) -> int:
    """Do the work in a process of its own; return its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        work()
        status = 0
    except Exception:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(status)  # the child must not go on as its parent


def killed_at(number: int, work: Work) -> Work:
    """Return work that kills itself before it renames or removes a file for the n-th time."""
    steps = 0

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def call(path: Path, *args: Path, **options: Any) -> None:
            nonlocal steps
            is_change = not options and (bool(args) or not str(path).endswith(".tmp"))
            steps += is_change
            if is_change and steps == number:
                os.kill(os.getpid(), signal.SIGKILL)
            function(path, *args, **options)

        return call

    def run() -> None:
        os.replace, os.unlink = counted(os.replace), counted(os.unlink)
        work()

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, without those of a session."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".headrace/" not in path.as_posix()
    }


def main() -> None:
    """Kill first imports and repeated ones."""
    root = Path(sys.argv[1])
    os.chdir(root)
    origin, new = Path("shop"), Path("new")
    origin.mkdir()
    (origin / "orders.py").write_text(FLOW.format(name="orders"))

    def work() -> object:
        return import_project("prefect", origin, new, "test", Silent())

    kills = 0
    for state in ("new", "again"):
        if state == "again":
            (origin / "orders.py").unlink()
            (origin / "mails.py").write_text(FLOW.format(name="mails"))
        start_from(state, new)
        assert forked(work) == 0
        expected = contents(new)
        if state == "new":
            shutil.copytree(new, "again")
        for number in range(1, 1000):
            start_from(state, new)
            ended = forked(killed_at(number, work))
            assert ended in (0, signal.SIGKILL)
            if ended == 0:
                break
            kills += 1
            assert forked(work) == 0, f"{state}: killed at step {number}"
            assert contents(new) == expected, f"{state}: killed at step {number}"
    print(kills)


def start_from(state: str, new: Path) -> None:
    """Make the new project's folder as it was: an earlier import, or none."""
    shutil.rmtree(new, ignore_errors=True)
    if Path(state).is_dir():
        shutil.copytree(state, new)


main()
