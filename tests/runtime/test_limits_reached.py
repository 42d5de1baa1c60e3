"""Asset code, in Python and as commands, that meets a limit of the machine or of its process: that
is what its incident says, and no mistake in the code."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest
from runlab import DAYS, Lab

from headrace.engine.attempts import BodyError, ErrorKind, as_said
from headrace.engine.failures import kind_of

PYTHON = {
    "no_memory": "    raise MemoryError('9 GB')",
    "handled": (
        "    try:\n        raise MemoryError\n    except MemoryError:\n        raise"
        " RuntimeError('no model')"
    ),
    "full_disk": "    raise OSError(28, 'No space left on device', '/data/x')",
    "large_file": (
        "    import resource, tempfile\n    was = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, was[1]))\n"
        "    try:\n        with tempfile.TemporaryFile(buffering=0) as out:\n"
        "            while out.write(b'x' * 999):\n                pass\n"
        "    finally:\n        resource.setrlimit(resource.RLIMIT_FSIZE, was)"
    ),
    "no_threads": '    raise RuntimeError("can\'t start new thread")',
    "no_fork": (
        "    def _execute_child():\n"  # as `subprocess` does
        "        raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "    _execute_child()"
    ),
    "no_files": "    raise OSError(24, 'Too many open files', '/data/x')",
}
LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_"
COMMANDS = {
    "c_memory": f"{LIMITED}AS, (200 << 20, 200 << 20))\nbytearray(500 << 20)\n",
    "c_disk": "raise OSError(28, 'No space left on device')\n",
    "c_signal": "import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)\n",
    "c_large": "import sys\nsys.exit('write error: File too large')\n",
    "c_fork": "import sys\nsys.exit('sh: fork: retry: Resource temporarily unavailable')\n",
    "c_java": "import sys\nsys.exit('java.lang.OutOfMemoryError: Java heap space')\n",
    "c_shell": "import sys\nsys.exit(137)\n",
}
MISTAKES = {
    "c_mistake": "import sys\nsys.exit('KeyError: amount')\n",
}


def asset(lab: Lab, name: str, body: str) -> None:
    if body.startswith("    "):
        text = f"def {name}(ctx: Context, orders):\n{body}"
        lab.python(name, text, partition="day", inputs=["orders"])
        return
    lab.write(f"{name}.py", body)
    command = f"command: ['{sys.executable}', '{name}.py']"
    declared = f"asset: {name}\nowner: core\npartition: day\ninputs: [orders]\n{command}\n"
    lab.write(f"assets/{name}.yaml", declared)


@pytest.mark.long
def test_a_limit_is_the_cause(tmp_path: Path) -> None:
    """Would catch: `code_error` and "correct the file" for memory, disk, file size and processes
    that were used up; a mistake in the code put down to a limit; a wait that nobody is told of."""
    lab = Lab(tmp_path / "p")
    every = {**PYTHON, **COMMANDS, **MISTAKES}
    for name, body in every.items():
        asset(lab, name, body)
    reads = ", ".join(every)
    consumer = f"{{consumer: c, owner: core, reads: [{reads}], max_age: 400d}}"
    lab.write("consumers.yaml", f"- {consumer}\n")
    lab.orders(DAYS[0])
    for _ in range(3):
        lab.tick()
    incidents = lab.headrace("incidents")
    kinds = {incident["cause"]["node"]: incident["cause"]["kind"] for incident in incidents}
    shared = {"c_disk", "full_disk"}  # a full disk is one cause
    assert len(shared & kinds.keys()) == 1
    expected = dict.fromkeys(every, "resource_exhausted")
    expected |= dict.fromkeys(MISTAKES, "code_error")
    for name in shared - kinds.keys():
        expected.pop(name)
    assert kinds == expected
    firsts = {
        incident["cause"]["node"]: incident["repair"]["first"] or "" for incident in incidents
    }
    assert {name for name, first in firsts.items() if "correct " in first} == {*MISTAKES}


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["MemoryError"], ErrorKind.RESOURCES),
        (["OSError: [Errno 27] File too large"], ErrorKind.RESOURCES),
        (["MemoryError"] + ["and so on"] * 60, ErrorKind.DETERMINISTIC),
        (["the file is too large for us"], ErrorKind.DETERMINISTIC),
        (["KeyError: 'memory'"], ErrorKind.DETERMINISTIC),
        ([], ErrorKind.DETERMINISTIC),
    ],
)
def test_what_a_program_says_of_its_end(lines: list[str], kind: ErrorKind) -> None:
    """Would catch: a limit that was dealt with long before the end; a program's data in
    a message.
    """
    ended = BodyError(ErrorKind.DETERMINISTIC, "`x` ended with exit code 1", code="command_failed")
    said = as_said(ended, lines)
    assert said.kind is kind
    assert "Errno" not in said.message


def test_an_error_while_an_error_is_dealt_with() -> None:
    """Would catch: a mistake in a handler of a broken connection that is tried again as if it were
    one; a limit that `raise … from None` hides on purpose."""

    def raised(first: Exception, *, hide: bool = False) -> Exception:
        try:
            try:
                raise first
            except type(first):
                if hide:
                    raise KeyError("x") from None
                raise KeyError("x")  # noqa: B904 - raised while the first is dealt with
        except KeyError as error:
            return error

    assert kind_of(raised(MemoryError())) is ErrorKind.RESOURCES
    assert kind_of(raised(MemoryError(), hide=True)) is ErrorKind.DETERMINISTIC
    assert kind_of(raised(ConnectionError())) is ErrorKind.DETERMINISTIC


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(113, "No route to host"), ErrorKind.TRANSIENT),
        (OSError(113, "No route to host", "/mnt/lake/x"), ErrorKind.ENVIRONMENT),
        (RuntimeError("[Errno 113] No route to host"), ErrorKind.DETERMINISTIC),
        (OSError(30, "Read-only file system", "/mnt/x"), ErrorKind.ENVIRONMENT),
        (RuntimeError("Read-only file system"), ErrorKind.RESOURCES),
    ],
)
def test_a_server_that_is_away_is_no_disk(error: Exception, kind: ErrorKind) -> None:
    """Would catch: a socket of asset code without a network that is called a disk to be mended."""
    assert kind_of(error) is kind


def test_a_lock_that_is_taken_is_no_limit(tmp_path: Path) -> None:
    """Would catch: `ulimit -u` as the advice for a file that another process has locked."""
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError) as taken:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert kind_of(taken.value) is ErrorKind.DETERMINISTIC
