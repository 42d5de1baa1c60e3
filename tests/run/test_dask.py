"""Bodies on a real Dask cluster of several processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_cluster import Cluster
from executor_contract import Crew, InProcesses
from runlab import DAYS, Lab, published

from headrace.run.executors.dask import Dask, DaskError

# A cluster's threads and sockets are closed by threads of its own, some time after the client was.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("dask")) as made:
        yield made


class DaskCrew(Crew):
    executor: Dask

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "headrace.toml").touch()


@pytest.fixture
def crew(tmp_path: Path, cluster: Cluster) -> Iterator[DaskCrew]:
    made = DaskCrew(tmp_path)
    with Dask(cluster.address, made.settings, 2) as made.executor:
        yield made


@pytest.mark.slow
class TestDask(InProcesses):
    pass


def test_a_project_runs_on_a_cluster(lab: Lab, cluster: Cluster) -> None:
    """Would catch: bodies that run here although the settings say where; columns, logs or secrets that don't make the way."""
    settings = (lab.root / "headrace.toml").read_text()
    lab.write("headrace.toml", settings.replace("workers = 2", f'workers = 2\nexecutor = "dask"\ndask = "{cluster.address}"'))
    lab.sql("clean", "select order_id, amount, cast(day as date) as day from orders")
    lab.python(
        "parents",
        "def parents(clean):\n    import os\n    print('hello')\n    yield {'parent': os.getppid()}",
        inputs=["clean"],
        partition="day",
    )
    for day in DAYS[:3]:
        lab.orders(day)
    document = lab.tick()
    assert len(published(document)) == 9, document
    logs = "".join(path.read_text() for path in (lab.root / ".headrace/logs").rglob("*.jsonl"))
    assert logs.count("hello") == 3
    assert not list((lab.root / ".headrace/tmp/dask").iterdir()), "what says which attempt may begin is left behind"
