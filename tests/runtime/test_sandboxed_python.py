"""Python assets that reach for what isn't theirs, with `[run] sandbox = "on"`."""

from __future__ import annotations

import os
import textwrap

import pytest
from runlab import DAYS, Lab, published

from headrace.engine import sandbox
from headrace.responses import AttemptRow, RunResponse

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="no Landlock")


def run(lab: Lab, body: str, settings: str = "", **declared: object) -> RunResponse:
    """One asset in Python beside one in SQL, both of the same delivery."""
    toml = (lab.root / "headrace.toml").read_text()
    assert "[run]\n" in toml
    lab.write("headrace.toml", toml.replace("[run]\n", '[run]\nsandbox = "on"\n' + settings))
    lab.sql("other", "select order_id, cast(day as date) as day from orders")
    body = textwrap.dedent(body).lstrip()
    fields = {"owner": "core", "partition": "day", "inputs": ["orders"], **declared}
    arguments = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    marked = body.replace("def code(", f"@asset({arguments})\ndef code(")
    lab.write("assets/code.py", f"from headrace import asset\n{marked}\n")
    lab.orders(DAYS[0])
    return lab.tick()


def attempt_of(response: RunResponse) -> AttemptRow:
    return [a for a in response.attempts if a.asset == "code"][-1]


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        "def code(orders):\n    print('printed')\n    return orders",
        "def code(orders):\n    yield {'a': 1}\n    yield {'a': 2}",
        "from duckdb import DuckDBPyRelation\ndef code(orders: DuckDBPyRelation):\n    return orders",
        "import json\ndef code(orders):\n    return [{'a': json.dumps(1)}]",
    ],
)
def test_rows_are_published_as_always(lab: Lab, body: str) -> None:
    response = run(lab, body)
    assert ("code", DAYS[0]) in published(response), attempt_of(response).error
    assert not list((lab.root / ".headrace/lake/main/code").glob(".staged*"))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "{root}/.headrace/state.db",
        "{root}/headrace.toml",
        "{root}/landing",
        "{root}/.headrace/lake/main/other",
        "/proc/{worker}/environ",
    ],
)
def test_files_of_others_are_refused_and_named(lab: Lab, path: str) -> None:
    """Would catch: code that runs before the rules hold; a refusal without its declaration."""
    path = path.format(root=lab.root, worker=os.getpid())
    (lab.root / ".headrace/lake/main/other").mkdir(parents=True)
    act = (
        f"os.listdir({path!r})" if path.endswith(("landing", "other")) else f"open({path!r}).read()"
    )
    response = run(lab, f"import os\ndef code(orders):\n    return [{{'a': str({act})}}]")
    assert ("other", DAYS[0]) in published(response)
    error = attempt_of(response).error
    assert error is not None
    assert "is outside of what this asset may read or write" in error.message, error
    never = "/.headrace/" in path or path.startswith("/proc/")
    hint = "no declaration opens" if never else f"sandbox: {{read: [{path}]}}"
    assert path in error.message and hint in (error.hint or "")


def test_a_module_is_restricted_while_it_is_imported(lab: Lab) -> None:
    """Would catch: modules that the process loads before it gives up its rights."""
    response = run(lab, "stolen = open('/etc/shadow').read()\ndef code(orders):\n    return orders")
    assert ("code", DAYS[0]) not in published(response)


@pytest.mark.parametrize(
    "act",
    [
        "os.kill(os.getppid(), 9)",
        "os.killpg(0, 9) if False else os.kill(-1, 9)",
        "open({root!r} + '/new', 'w')",
        "os.unlink({root!r} + '/.headrace/state.db')",
        "os.symlink('/etc/shadow', ctx) or open(ctx).read()",
        "[os.write(fd, b'x' * 9) for fd in range(3, 64) if fd_is_pipe(fd)]",
    ],
)
def test_nothing_of_others_is_changed(lab: Lab, act: str) -> None:
    """Would catch: signals to the worker, pipes of the worker that the fork still holds."""
    act = act.format(root=str(lab.root))
    response = run(
        lab,
        f"""
        import os, stat, tempfile
        ctx = tempfile.gettempdir() + "/link"
        def fd_is_pipe(fd):
            try:
                return stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISSOCK(os.fstat(fd).st_mode)
            except OSError:
                return False
        def code(orders):
            {act}
            raise RuntimeError("went on")
        """,
    )
    assert ("other", DAYS[0]) in published(response)
    attempt = attempt_of(response)
    assert attempt.state == "failed", attempt
    assert not (lab.root / "new").exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["symlink", "mkfifo"])
def test_a_replaced_log_leads_nowhere(lab: Lab, kind: str) -> None:
    """Would catch: a worker that saves a crashed attempt's output through a link which the
    attempt left in place of its log: into any file, or from any file into the log.
    """
    victim = lab.root / "victim"
    victim.write_text("stolen\n")
    response = run(
        lab,
        f"""
        import os, sys, time
        def code(orders):
            print("printed", flush=True)
            time.sleep(0.2)
            path = os.path.dirname(os.getcwd()) + "/log.jsonl"
            if os.path.exists(path):
                os.unlink(path)
            os.symlink({str(victim)!r}, path) if "{kind}" == "symlink" else os.mkfifo(path)
            os._exit(3)
        """,
        attempts_max=1,
    )
    assert attempt_of(response).state == "lost"
    assert victim.read_text() == "stolen\n"
    logs = (lab.root / ".headrace/logs").rglob("*.jsonl")
    assert "stolen" not in "".join(path.read_text() for path in logs)


def test_replaced_output_folders_are_refused(lab: Lab) -> None:
    """Would catch: publishing files of others through a link in place of the output folder."""
    (lab.root / "landing/other").mkdir(parents=True, exist_ok=True)
    (lab.root / "landing/other/a.txt").write_text("stolen")
    response = run(
        lab,
        f"""
        import os, shutil
        def code(ctx, orders):
            files = os.path.dirname(os.getcwd()) + "/files"
            (ctx.output_directory / "a.txt").write_text("stolen")
            shutil.move(files, files + "2")
            os.symlink({str(lab.root / "landing")!r}, files)
        """,
        materialize="files",
    )
    assert attempt_of(response).state == "failed"
    assert (lab.root / "landing/other/a.txt").exists()


def test_declared_paths_are_readable(lab: Lab) -> None:
    (lab.root / "reference").mkdir()
    path = lab.root / "reference/a.txt"
    path.write_text("seen")
    body = f"def code(orders):\n    return [{{'a': open({str(path)!r}).read()}}]"
    response = run(lab, body, sandbox={"read": ["reference"]})
    assert ("code", DAYS[0]) in published(response), attempt_of(response).error


@pytest.mark.long
def test_many_partitions_and_a_merge_are_published(lab: Lab) -> None:
    """Would catch: batches of calls, or deletions of a merge, that only the worker can stage."""
    for day in DAYS[1:]:
        lab.orders(day)
    lab.python(
        "merged",
        "def merged(orders):\n    return orders.select(['order_id', 'amount'])",
        partition="day",
        inputs=["orders"],
        materialize="merge",
        merge={"keys": ["order_id"]},
    )
    response = run(lab, "def code(orders):\n    return orders")
    done = set(published(response))
    assert {(name, day) for name in ("code", "merged") for day in DAYS} <= done, response.attempts


def test_files_are_moved_to_where_they_are_published(lab: Lab) -> None:
    body = """
    def code(ctx, orders):
        (ctx.output_directory / "a.txt").write_text("written")
    """
    response = run(lab, body, materialize="files")
    assert ("code", DAYS[0]) in published(response), attempt_of(response).error
    (found,) = (lab.root / ".headrace/files").rglob("a.txt")
    assert found.read_text() == "written"
