"""Commands that reach for what isn't theirs: files, processes, ports."""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from engine_bench import Bench

from headrace.engine import sandbox
from headrace.engine.attempts import CodeSandbox
from headrace.engine.command import command_access
from headrace.engine.failures import BodyFailed
from headrace.model import CommandBody

ON = CodeSandbox(on=True)
pytestmark = pytest.mark.skipif(not sandbox.available(), reason="no Landlock")


@pytest.fixture
def home(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, a state and another asset's data, each with something to steal."""
    for path in ("home/.ssh/id", ".headrace/state.db", ".headrace/lake/main/other/a.parquet"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("stolen")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def outcome(bench: Bench, code: str, allowed: CodeSandbox = ON, **more: Any) -> str:
    """Run a program and return its failure as people see it; empty if it succeeds."""
    task = bench.command(
        [sys.executable, "program.py"], files={"program.py": code}, sandbox=allowed, **more
    )
    assert isinstance(task.body, CommandBody)
    try:
        bench.run_logged(task)
    except BodyFailed as failure:
        access = command_access(task, task.body, bench, bench.code / (task.code or ""))
        error = sandbox.explained(
            failure.error, [line.text for line in bench.logged], access, bench.lake.parent
        )
        return f"{error.message} | {error.hint}"
    return ""


WRITTEN = """
import json, os
folder = json.load(open(os.environ["HEADRACE_CONTEXT"]))["output_directory"]
open(folder + "/a.csv", "w").write("a\\n1\\n")
"""


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "{root}/home/.ssh/id",
        "{root}/.headrace/state.db",
        "{root}/.headrace/lake/main/other/a.parquet",
        "/proc/{worker}/environ",
        "/proc/{worker}/mem",
        "/proc/{worker}/root/etc/shadow",
        "/proc/{worker}/cwd/pyproject.toml",
    ],
)
def test_files_of_others_are_refused_and_named(bench: Bench, home: Path, path: str) -> None:
    """Would catch: a rule that opens a parent folder; root's capabilities; an error without the
    declaration that would allow it.
    """
    path = path.format(root=home, worker=os.getpid())
    said = outcome(bench, f"open({path!r}, 'rb').read(1)")
    assert path in said, said
    assert "is outside of what this asset may read or write" in said
    never = ".headrace/" in path or path.startswith("/proc/")
    assert (f"sandbox: {{read: [{path}]}}" in said) is not never
    assert ("no declaration opens" in said) is never


def test_no_hint_proposes_what_is_refused(bench: Bench, home: Path) -> None:
    """Would catch: a declaration that would open the state, or that changes nothing."""
    for code, field in (
        (f"os.listdir({str(home)!r})", None),
        (f"os.listdir({str(home.parent)!r})", None),
        ("open('/sys/kernel/mm/ksm/run', 'w')", None),
        (f"os.listdir({str(home / 'home')!r})", "read"),
        ("os.mkdir('/usr/written')", "write"),
    ):
        said = outcome(bench, f"import os; {code}")
        assert ("no declaration opens" in said) is (field is None), said
        if field is None:
            assert "sandbox: {" not in said
            continue
        assert f"sandbox: {{{field}: [" in said, said


def test_a_link_leads_nowhere(bench: Bench, home: Path) -> None:
    """Would catch: rules by name, which a link in an own folder gets around."""
    code = f"""
    import json, os
    folder = json.load(open(os.environ["HEADRACE_CONTEXT"]))["output_directory"]
    os.symlink({str(home / "home/.ssh/id")!r}, folder + "/link")
    open(folder + "/link").read()
    """
    assert "Permission denied" in logged(bench, code)


def test_an_output_folder_that_is_a_link_is_refused(bench: Bench, home: Path) -> None:
    """Would catch: rows of another asset, read by the worker through the command's folder."""
    (home / ".headrace/lake/main/other/a.csv").write_text("a\nstolen\n")
    code = f"""
    import json, os
    folder = json.load(open(os.environ["HEADRACE_CONTEXT"]))["output_directory"]
    os.rmdir(folder)
    os.symlink({str(home / ".headrace/lake/main/other")!r}, folder)
    """
    assert "the output directory was replaced" in outcome(bench, code)


def logged(bench: Bench, code: str, allowed: CodeSandbox = ON) -> str:
    assert outcome(bench, code, allowed)
    return "\n".join(line.text for line in bench.logged)


@pytest.mark.parametrize(
    "act",
    [
        "open({root!r} + '/new', 'w')",
        "os.mkdir({root!r} + '/.headrace/lake/main/other/x')",
        "os.unlink({root!r} + '/.headrace/state.db')",
        "os.rename({root!r} + '/.headrace/state.db', folder + '/state.db')",
        "os.link({root!r} + '/.headrace/state.db', folder + '/state.db')",
        "os.truncate({root!r} + '/.headrace/state.db', 0)",
        "os.kill({worker}, 0)",
        "os.kill({parent}, 0)",
    ],
)
def test_nothing_of_others_is_changed(bench: Bench, home: Path, act: str) -> None:
    """Would catch: truncation, links and renames out of the own folder, signals to the worker."""
    act = act.format(root=str(home), worker=os.getpid(), parent=os.getppid())
    text = logged(bench, f"{WRITTEN}\n{act}")
    assert "PermissionError" in text or "Invalid cross-device link" in text, text
    assert (home / ".headrace/state.db").read_text() == "stolen"


def test_another_process_cannot_be_traced(bench: Bench) -> None:
    code = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(16, {os.getpid()}, 0, 0) == 0, "Operation not permitted"
    """
    assert "may not signal or trace" in outcome(bench, code)


def test_declared_paths_open_exactly_themselves(bench: Bench, home: Path) -> None:
    """Would catch: paths from the home folder or the project that resolve elsewhere; a folder to
    read that can be written to.
    """
    (home / "home/ref").mkdir()
    (home / "home/ref/a").write_text("1")
    (home / "shared").mkdir()
    (home / "shared/b").write_text("2")
    allowed = CodeSandbox(on=True, read=("~/ref", str(home / "shared")), write=("~/out",))
    (home / "home/out").mkdir()
    code = f"""{WRITTEN}
open(os.path.expanduser("~/ref/a")).read(), open({str(home / "shared/b")!r}).read()
open(os.path.expanduser("~/out/c"), "w").write("3")
"""
    assert outcome(bench, code, allowed) == ""
    assert (home / "home/out/c").read_text() == "3"
    assert "Permission denied" in logged(
        bench, "import os; open(os.path.expanduser('~/ref/a'), 'w')", allowed
    )


@pytest.mark.parametrize("path", ["..", "~/..", "{root}", "{root}/.headrace/state.db"])
def test_no_declaration_opens_the_state(bench: Bench, home: Path, path: str) -> None:
    """Would catch: a folder declared for convenience that holds the state."""
    allowed = CodeSandbox(on=True, read=(path.format(root=home),))
    task = bench.command(["true"], files={}, sandbox=allowed)
    with pytest.raises(BodyFailed, match="would open the project's data folder"):
        bench.run(task)


def test_ports_are_those_declared(bench: Bench) -> None:
    """Would catch: `ports:` that allows all, or listening."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"{WRITTEN}\nimport socket; socket.create_connection(('127.0.0.1', {port}))"
        assert outcome(bench, code) == "", "the network is open unless ports are declared"
        assert outcome(bench, code, CodeSandbox(on=True, ports=(port,))) == ""
        said = outcome(bench, code, CodeSandbox(on=True, ports=(443,)))
        assert "ports" in said, said
        listening = "import socket; socket.create_server(('127.0.0.1', 0))"
        assert outcome(bench, listening, CodeSandbox(on=True, ports=()))


def test_temporary_files_and_children_work(bench: Bench) -> None:
    """Would catch: a sandbox without a folder for temporary files, or that breaks programs."""
    code = f"""{WRITTEN}
import subprocess, sys, tempfile
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
subprocess.run([sys.executable, "-c", "import ssl, json"], check=True)
subprocess.run(["sh", "-c", "ls /usr | sort > /dev/null; cat /proc/self/maps > /dev/null"], check=True)
"""
    assert outcome(bench, code) == ""


def test_shared_memory_is_open_only_if_it_is_declared() -> None:
    """Would catch: memory of other programs, and of other assets, that any asset reads."""
    code = f"{WRITTEN}\nimport multiprocessing; multiprocessing.Lock().acquire()"
    # not a folder of pytest: that may be in memory, which a project there can't open
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, closing(Bench(Path(folder))) as bench:
        bench.lake.mkdir()
        assert "sandbox: {write: [/dev/shm]}" in outcome(bench, code)
        assert outcome(bench, code, CodeSandbox(on=True, write=("/dev/shm",))) == ""
        assert "/dev/shm" in outcome(bench, "import os; os.listdir('/dev/shm')")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of another processor")
@pytest.mark.parametrize("ports", [None, (), (443,)])
def test_the_keyring_of_the_kernel_is_refused(bench: Bench, ports: tuple[int, ...] | None) -> None:
    """Would catch: keys of the user, which are outside of the file system, read by an asset."""
    code = f"""{WRITTEN}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for call in (248, 249, 250):
    assert libc.syscall(call, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 13
"""
    assert outcome(bench, code, CodeSandbox(on=True, ports=ports)) == ""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of another processor")
@pytest.mark.parametrize("ports", [None, ()])
def test_what_programs_share_in_the_kernel_is_refused(
    bench: Bench, ports: tuple[int, ...] | None
) -> None:
    """Would catch: memory and queues of System V and POSIX, outside of the file system, by which
    an asset hands rows to a program that isn't restricted."""
    code = f"""{WRITTEN}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = dict(shmget=(0, 4096, 0o1600), shmat=(0, 0, 0), msgget=(0, 0o1600), msgsnd=(0, 0, 0, 0),
             msgrcv=(0, 0, 0, 0, 0), semget=(0, 1, 0o1600), semop=(0, 0, 0), mq_open=(b"/q", 0o100))
numbers = dict(shmget=29, shmat=30, semget=64, semop=65, msgget=68, msgsnd=69, msgrcv=70, mq_open=240)
for name, arguments in calls.items():
    assert libc.syscall(numbers[name], *arguments) == -1 and ctypes.get_errno() == 13, name
"""
    assert outcome(bench, code, CodeSandbox(on=True, ports=ports)) == ""


def test_off_is_off(bench: Bench, home: Path) -> None:
    code = f"{WRITTEN}\nopen({str(home / 'home/.ssh/id')!r}).read()"
    assert outcome(bench, code, CodeSandbox()) == ""


def test_a_program_of_a_version_manager_runs(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: `python3` of pyenv, which starts programs beside its folder `shims`."""
    manager = tmp_path / "manager"
    versions = {
        "shims": f'exec {manager}/versions/tool "$@"',
        "versions": f'exec {sys.executable} "$@"',
    }
    for folder, line in versions.items():
        tool = manager / folder / "tool"
        tool.parent.mkdir(parents=True)
        tool.write_text(f"#!/bin/sh\n{line}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{manager}/shims:{os.environ['PATH']}")
    task = bench.command(["tool", "program.py"], files={"program.py": WRITTEN}, sandbox=ON)
    bench.run_logged(task)
