"""What it costs to restrict asset code: small attempts at SQL, at Python and at a command, each
restricted and not, in turn, in one process. Times are of the whole task with its audit, in
milliseconds. A query is handed over to its thread each time; a worker does so only when the kind
of tasks changes. Attempts at Python begin after a pause, in which the process for a restricted one
is forked; `sandbox_python_in_turn_ms` is without it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, main
from headrace.engine import AttemptScope
from headrace.engine.attempts import CodeSandbox
from headrace.engine.logs import OutputPipes
from headrace.model import Body, CommandBody, PythonBody, SqlBody
from headrace.runtime.attempt_forks import AttemptForks
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask, StagedOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

ATTEMPTS, WARM_UP = 200, 5
PAUSE_SECONDS = 0.1
PYTHON = "def code():\n    return [{'n': 1}]\n"
SHELL = (
    'folder=$(sed \'s/.*"output_directory":"\\([^"]*\\)".*/\\1/\' "$HEADRACE_CONTEXT")\n'
    'printf "n\\n1\\n" > "$folder/rows.csv"\n'
)


class Worker:
    """One worker without its leader, in a project of two applied files."""

    def __init__(self, root: Path) -> None:
        folders = Folders(str(root), str(root / ".headrace"))
        code = folders.code / "v1"
        code.mkdir(parents=True)
        (code / "code.py").write_text(PYTHON)
        (code / "code.sh").write_text(SHELL)
        forks = AttemptForks.start((), folders)
        self.context, self.free = (
            WorkerContext(
                WorkerSettings(folders, 2, 1, None, restricts_queries=restricted),
                OutputPipes.open(),
            )
            for restricted in (True, False)
        )
        self.context.forks = forks
        self.attempts = 0

    def milliseconds(self, body: Body, *, restricted: bool, pause: float) -> float:
        """Return the time of one attempt, which begins after a pause in seconds."""
        self.attempts += 1
        python, query = isinstance(body, PythonBody), isinstance(body, SqlBody)
        task = ComputeTask(
            scope=AttemptScope("code", ("*",), None, None, None, "UTC", f"1.{self.attempts}"),
            body=body,
            sql=body.text if isinstance(body, SqlBody) else None,
            code="v1",
            inputs=(),
            materialize="table",
            partition_column=None,
            table=None,
            evolve=False,
            checks=(),
            on_fail="reject",
            now_us=1_760_000_000_000_000,
            sandbox=CodeSandbox(on=restricted and not query, python=python and restricted),
        )
        context = self.free if query and not restricted else self.context
        time.sleep(pause)
        began = time.perf_counter()
        outcome = perform(task, context)
        took = (time.perf_counter() - began) * 1_000
        assert isinstance(outcome, StagedOutcome), outcome
        return took


def measure(quick: bool) -> list[Figure]:
    """Return the difference of each kind of code, as the median of pairs."""
    bodies: dict[str, Body] = {
        "sql": SqlBody(text="SELECT 1 AS n", file="code.sql", line=1),
        "python": PythonBody(file="code.py", line=1, function="code", takes_context=False),
        "command": CommandBody(command=("sh", "code.sh"), file="code.yaml", line=1),
    }
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder))
        attempts = 10 if quick else ATTEMPTS
        figures = [
            _figure(name, worker, body, attempts, PAUSE_SECONDS if name == "python" else 0.0)
            for name, body in bodies.items()
        ]
        return [*figures, _figure("python_in_turn", worker, bodies["python"], attempts, 0.0)]


def _figure(name: str, worker: Worker, body: Body, attempts: int, pause: float) -> Figure:
    pairs = [
        (
            worker.milliseconds(body, restricted=False, pause=pause),
            worker.milliseconds(body, restricted=True, pause=pause),
        )
        for _ in range(attempts + WARM_UP)
    ][WARM_UP:]
    before, after = zip(*pairs, strict=True)
    more = [restricted - free for free, restricted in pairs]
    return Figure(
        name=f"sandbox_{name}_ms",
        value=round(statistics.median(more), 3),
        unit="ms",
        goal=None if name == "python_in_turn" else 3.0,
        runs=[round(value, 3) for value in more],
        against={
            "unrestricted": round(statistics.median(before), 3),
            "restricted": round(statistics.median(after), 3),
        },
    )


if __name__ == "__main__":
    main(__doc__, measure)
