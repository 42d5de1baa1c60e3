"""What the tests of exports write with: a worker's own context over a real lake folder, and rows
staged as bodies stage them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.connect.exports import fence
from headrace.engine import InputData
from headrace.engine.logs import OutputPipes
from headrace.lake import PARTITION_COLUMN, FileRef
from headrace.lake.schema import TargetTable
from headrace.lake.staging import stage
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ExportTask, StagedOutcome, TaskOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

INTERVAL = "2013-02-11"
ZONE = "America/New_York"
EXPORT_IN_A_PROCESS = """
import sys
from pathlib import Path
import msgspec
from exportlab import Bench
from headrace.runtime.messages import ExportTask
bench = Bench(Path(sys.argv[1]))
outcome = bench.perform(msgspec.json.decode(sys.stdin.buffer.read(), type=ExportTask))
print(outcome.state, getattr(outcome, "error", None), flush=True)
"""


class Bench:
    """One worker at home in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.folders = Folders(str(root), str(root / ".headrace"))
        self._channel = OutputPipes.open()
        self.context = WorkerContext(WorkerSettings(self.folders, 2, 2, None), self._channel)
        self.connection: dict[str, Any] = {}
        self._n = 0

    def close(self) -> None:
        self._channel.close()
        self.context.close()

    def rows(self, select: str, name: str = "delays", interval: str = INTERVAL) -> InputData:
        """Rows of an asset, as they would have been published."""
        staged, table = stage(
            self.context.session(ZONE), select, target=TargetTable(name), partition=interval
        )
        columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        return InputData(
            name=name, files=(FileRef(staged.path),), columns=columns, rows=staged.rows
        )

    def task(
        self, target: dict[str, Any], *reads: InputData, interval: str = INTERVAL, attempt: str = ""
    ) -> ExportTask:
        self._n += 1
        whole = interval == "*"
        return ExportTask(
            attempt=attempt or f"1.{self._n}",
            consumer="regulator-extract",
            interval=interval,
            start=None if whole else f"{interval}T00:00:00-05:00",
            end=None if whole else f"{interval}T23:59:59-05:00",
            timezone=ZONE,
            target=target,
            connection=self.connection,
            reads=reads,
            now_us=1_360_000_000_000_000 + self._n,
        )

    def perform(self, task: ExportTask) -> TaskOutcome:
        outcome = perform(task, self.context)
        assert isinstance(outcome, TaskOutcome)
        assert list(self.folders.temporary.iterdir()) == [], "temporary files are left behind"
        return outcome

    def export(self, target: dict[str, Any], *reads: InputData, **more: Any) -> StagedOutcome:
        """Write, and expect that it was written."""
        outcome = self.perform(self.task(target, *reads, **more))
        assert isinstance(outcome, StagedOutcome), outcome
        return outcome

    @contextmanager
    def stopped_before_it_is_visible(self, task: ExportTask) -> Iterator[subprocess.Popen[bytes]]:
        """A process of its own that exports, and has done all but the last step: it waits for the
        fence, which we hold."""
        path = self.folders.fence
        with fence._locked(path):
            process = subprocess.Popen(
                [sys.executable, "-c", EXPORT_IN_A_PROCESS, str(self.root)],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(task))
            process.stdin.close()
            _wait_until_locked_out(process, path)
            yield process
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
        for path in self.folders.temporary.iterdir():  # as a leader does when it starts
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _wait_until_locked_out(process: subprocess.Popen[bytes], path: Path) -> None:
    """Until the kernel says that the process waits for the file's lock."""
    inode, until = path.stat().st_ino, time.monotonic() + 40
    while time.monotonic() < until:
        waiting = [
            line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line
        ]
        if any(fields[6].endswith(f":{inode}") for fields in waiting):
            return
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.01)
    raise AssertionError("the export never came to its last step")


@pytest.fixture
def export_bench(tmp_path: Path) -> Iterator[Bench]:
    """A worker that exports."""
    bench = Bench(tmp_path / "p")
    yield bench
    bench.close()
