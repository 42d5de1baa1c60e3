"""Whether causes are found, and what that takes: faults of every kind in random projects, and ten
thousand assets at once.

The simulation is `tests/incidents/diagnosis/simulated_faults.py`; its seeds here aren't those that
rules were written with (0 to 99). A cause is right if its kind and its node are those of the fault
that was played. Times are of the process, not of the wall: the same evidence is judged several
times in one graph, as a leader that stays up does; the first time, which makes what is known of
columns, is observed apart. A judgement is the whole of it, over a store
(benchmarks/judging_store.py), in a leader that stays up.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from benchmarks import diagnosis_projects as projects
from benchmarks.harness import Figure, main
from benchmarks.judging_store import DAYS, Written, at, watched_of
from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.evidence import Evidence
from headrace.incidents.diagnosis.graph import CauseGraph
from headrace.model import Project, Settings
from headrace.plan.schemas import ColumnLineage
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state
from headrace.store import Store, Transaction

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "incidents" / "diagnosis"))
from simulated_faults import PLAYS, case, found, right, story_of_nothing

FIRST_SEED = 5_000
SEEDS = 60
ASSETS = 10_000
RUNS = 5
NOW = projects.AT + 10**12


def measure(*, quick: bool) -> list[Figure]:
    """All figures."""
    return [
        *_accuracy(2 if quick else SEEDS),
        *_times(500 if quick else ASSETS, 2 if quick else RUNS),
        *_judgements(500 if quick else ASSETS),
    ]


def _accuracy(seeds: int) -> list[Figure]:
    shares: dict[str, list[float]] = defaultdict(list)
    incidents: dict[str, list[int]] = defaultdict(list)
    for kind in PLAYS:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            for name, two in (("alone", False), ("two at once", True)):
                played = case(kind, seed, two=two)
                causes = diagnose(played.evidence, played.facts.graph, played.now_us)
                hits = [float(right(item, found(item, causes))) for item in played.injected]
                shares[f"right, {name}"] += hits
                incidents[name] += [len(causes), len(played.injected)]
                if not two:
                    shares[f"right, {kind.value}"] += hits
    false = [
        len(diagnose(item.evidence, item.facts.graph, item.now_us))
        for item in map(story_of_nothing, range(FIRST_SEED, FIRST_SEED + seeds))
    ]
    goals = {"right, alone": 0.98, "right, two at once": 0.95}
    return [
        *(
            Figure(
                name=name,
                value=statistics.fmean(values),
                unit="of faults",
                goal=goals.get(name),
                compare=">=",
                runs=(),
            )
            for name, values in shares.items()
        ),
        *(
            Figure(
                name=f"incidents per cause, {name}",
                value=sum(counts[::2]) / sum(counts[1::2]),
                unit="incidents",
                goal=1.05,
                runs=(),
            )
            for name, counts in incidents.items()
        ),
        Figure(
            name="incidents where nothing is wrong",
            value=float(sum(false)),
            unit="incidents",
            goal=0.0,
            runs=false,
        ),
    ]


def _times(assets: int, runs: int) -> list[Figure]:
    graph = projects.project(assets)
    last = f"a{assets - 1}"
    seen: dict[str, tuple[Sequence[Evidence], float]] = {
        "one event": ([projects.failing(last, 1)], 0.010),
        "one event, and one at a source": (
            [projects.failing("s0", 0), projects.failing(last, 1)],
            0.010,
        ),
        "a busy morning": (projects.of_many_causes(graph, Random(1)), 1.0),
        "a failed check in every asset": (projects.of_one_cause(graph), 1.0),
        "the same error in every asset": (projects.equal_failures(graph), 1.0),
        "another error in every asset": (projects.unlike_failures(graph), 1.0),
    }
    return [
        Figure(
            name=f"{assets} assets, {name}",
            value=statistics.median(took),
            unit="s",
            goal=goal,
            runs=took,
        )
        for name, (evidence, goal) in seen.items()
        for took in [[_seconds(evidence, graph) for _ in range(runs)]]
    ]


def _judgements(assets: int) -> list[Figure]:
    """One after the other over one store: what each takes, without what is written before it."""
    declared_promises, error = (
        watched_of(projects.project(assets)),
        '{"kind": "deterministic", "message": "ImportError: no module named pandas"}',
    )
    judged, written, last = (
        VersionEvaluator(
            Project(settings=Settings(name="large")),
            declared_promises,
            lambda _: ColumnLineage({}),
            lambda *_: None,
        ),
        Written(declared_promises),
        f"a{assets - 1}",
    )

    def everything(tx: Transaction) -> None:
        for name in (node.name for node in declared_promises.nodes.values() if not node.is_source):
            written.failed(tx, DAYS - 1, name, at(DAYS, 8.2), error)

    steps: list[tuple[str, float, Callable[[Transaction], None], float | None]] = [
        ("the first", 7.5, written.begin, None),
        ("nothing new", 7.6, lambda _: None, None),
        ("one held delivery", 7.7, lambda tx: written.held(tx, DAYS, "s0", at(DAYS, 7.65)), None),
        ("one failure", 7.8, lambda tx: written.failed(tx, 1, last, at(DAYS, 7.75), error), 0.010),
        ("the same failure in every asset", 8.3, everything, 1.0),
    ]
    figures = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), Settings(name="large"), create=True) as store,
    ):
        for name, hour, write, goal in steps:
            with store.write(None) as tx:
                write(tx)
                gc.collect()
                began = time.process_time()
                evaluate_state(tx, judged, at(DAYS, hour))
                took = time.process_time() - began
            figures.append(
                Figure(
                    name=f"judgement of {assets} assets, {name}",
                    value=took,
                    unit="s",
                    goal=goal,
                    runs=[took],
                )
            )
    return figures


def _seconds(evidence: Sequence[Evidence], graph: CauseGraph) -> float:
    gc.collect()
    began = time.process_time()
    diagnose(evidence, graph, NOW)
    return time.process_time() - began


if __name__ == "__main__":
    main(__doc__, measure)
