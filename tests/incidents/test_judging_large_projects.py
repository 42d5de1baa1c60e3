"""What a judgement ingests projects that are deep, or in which all goes wrong at once: counted in
calls, not in seconds.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from counted_calls import Counting
from ledger_rows import Rows
from small_facts import SmallFacts, at, consumer, declare, node, reads

from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import graph_of
from headrace.incidents.repairs import is_made_of
from headrace.ledger.inputs import LedgerInputs, PartitionRef
from headrace.model import Grain, Project, Settings
from headrace.plan.schemas import ColumnLineage
from headrace.runtime.evaluation import VersionEvaluator, evaluate_state
from headrace.services.why import without_data
from headrace.slo.blockage import Blockage, BlockReason
from headrace.slo.consumer_states import ConsumerState
from headrace.slo.declared_promises import DeclaredPromises
from headrace.slo.obligations import EvaluationContext
from headrace.slo.status import evaluate_in_context
from headrace.store import Store
from headrace.store.queries import incidents

DAY = "2013-02-02"
ERROR = '{"kind": "deterministic", "message": "ImportError: no module named pandas"}'


def chain(length: int) -> DeclaredPromises:
    """A source, and so many assets each made of the one before."""
    names = ["src", *(f"a{number}" for number in range(length))]
    nodes = [node("src", Grain.DAY, source=True, start=DAY)]
    nodes += [node(name, Grain.DAY, above) for above, name in pairwise(names)]
    return declare(nodes, consumer("c", names[-1], due="07:00"))


def lattice(width: int, depth: int) -> DeclaredPromises:
    """Layers in which each asset reads two of the layer above: as many paths as 2 to the power of
    its depth.
    """
    nodes = [node(f"s{item}", Grain.DAY, source=True, start=DAY) for item in range(width)]
    above = [item.name for item in nodes]
    for layer in range(depth):
        here = [
            node(f"a{layer}_{item}", Grain.DAY, above[item], above[(item + 1) % width])
            for item in range(width)
        ]
        nodes, above = [*nodes, *here], [item.name for item in here]
    return declare(
        nodes, *(consumer(f"c{number}", name, due="07:00") for number, name in enumerate(above))
    )


def test_a_source_that_is_missing_holds_back_what_is_hundreds_of_steps_below_it() -> None:
    """Would catch: a walk that calls itself for each step, and ends `status` with a RecursionError
    in a deep project.
    """
    facts = SmallFacts()
    facts.look("src", at("2013-02-03 07:20"))
    (result,) = evaluate_in_context(
        EvaluationContext(chain(300), facts), at("2013-02-03 07:30")
    ).consumers
    assert result.reason == "src@2013-02-02: nothing was delivered"
    assert ConsumerState.NEVER in result.states


def test_what_holds_many_consumers_back_is_found_once() -> None:
    """Would catch: a walk through all that is upstream for each consumer: hours with a hundred of
    them and ten thousand assets.
    """
    declared, facts = lattice(width=12, depth=12), SmallFacts()
    context = EvaluationContext(declared, facts)
    item, all_of_them = Counting(), Counting()
    with item:
        Blockage(context, at("2013-02-03 07:30")).of(declared.consumers[0], DAY)
    blockage = Blockage(context, at("2013-02-03 07:30"))
    with all_of_them:
        result = [blockage.of(terms, DAY) for terms in declared.consumers]
    assert all({each.block for each in by} == {BlockReason.MISSING} for by in result)
    assert [len(by) for by in result] == [12] * 12  # each is made of all sources over 12 layers
    assert all_of_them.calls < 6 * item.calls


def test_what_a_partition_is_made_of_is_walked_once() -> None:
    """Would catch: a walk over all ways to a source, of which 40 layers have a million millions:
    `fix`, `why` and the ledger that never answer."""
    declared = lattice(width=2, depth=40)
    context = EvaluationContext(declared, SmallFacts())
    bottom, other = (item.reads[0] for item in declared.consumers)
    assert not is_made_of(context, bottom, DAY, "s0", {"1999-01-01"})
    assert is_made_of(context, other, DAY, "s0", {DAY})
    assert without_data(context, bottom, DAY) is None
    assert without_data(context, bottom, "1999-01-01") in (
        "s0 begins with 2013-02-02",
        "s1 begins with 2013-02-02",
    )
    reader = node("reader", Grain.DAY, reads(bottom, optional=True))
    context = EvaluationContext(declare([*declared.nodes.values(), reader]), SmallFacts())
    assert (
        LedgerInputs(context, Rows(), {}, None).missed(
            PartitionRef("reader", DAY), at("2013-02-03 07:30")
        )
        == []
    )


def calls_of_a_failure_everywhere(folder: Path, width: int) -> tuple[int, int]:
    """How many incidents it makes that everything fails at once in a project of five layers, and
    how many calls that takes."""
    declared, when = lattice(width, depth=5), at("2013-02-03 04:00")
    judged = VersionEvaluator(
        Project(settings=Settings(name="t")),
        declared,
        lambda _: ColumnLineage({}),
        lambda tx, one: None,
    )
    with Store.open(folder, Settings(name="t"), create=True) as store, store.write(None) as tx:
        tx.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
            " 't', 'succeeded', 0)"
        )
        for name in declared.nodes:
            tx.execute(
                "insert into partition (node, partition, state, since, revision) values (?, '0',"
                " 'published', 0, 1)",
                (name,),
            )
        evaluate_state(tx, judged, when - 1)
        for number, name in enumerate(item for item in declared.nodes if item[0] == "a"):
            tx.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
                " started_at, finished_at, error, snapshot_read) values (1, ?, 1, ?, 'produce', ?,"
                " 'failed', ?, ?, ?, ?, 0)",
                (number + 1, name, f'["{DAY}"]', when, when, when, ERROR),
            )
            tx.execute(
                "insert into partition (node, partition, state, failures, since, revision) values"
                " (?, ?, 'failed', 1, ?, 2)",
                (name, DAY, when),
            )
        with Counting() as counted:
            evaluate_state(tx, judged, when + 1)
        return incidents.count(tx), counted.calls


def test_what_fails_everywhere_at_once_is_one_incident_in_time_that_grows_with_the_project(
    tmp_path: Path,
) -> None:
    """Would catch: asking of each node that failed what is below it, which took minutes with ten
    thousand of them.
    """
    small, large = (
        calls_of_a_failure_everywhere(tmp_path / str(width), width) for width in (70, 140)
    )
    assert (small[0], large[0]) == (1, 1)
    assert large[1] < 2.6 * small[1]  # twice the project


def calls_of_one_failure_below_what_is_held(length: int) -> int:
    """At the end of a chain, whose source holds a delivery of another day over nulls."""
    names = ["src", *(f"a{number}" for number in range(length))]
    graph = graph_of(chain(length), {})
    held = Evidence(
        id="fact:1",
        node="src",
        partition="2013-02-03",
        family=Family.NULLS,
        kind="null_spike",
        column="x",
        strength=12.0,
        at_us=1,
    )
    failed = Evidence(
        id="attempt:1",
        node=names[-1],
        partition=DAY,
        family=Family.ERROR,
        observed="boom",
        strength=12.0,
        at_us=2,
    )
    with Counting() as counted:
        causes = diagnose([held, failed], graph, 3)
    assert {cause.node for cause in causes} == {"src", names[-1]}
    return counted.calls


def test_a_failure_is_judged_without_walking_down_from_what_cant_be_its_cause() -> None:
    """Would catch: each failure judged by a walk through all that lies between it and everything
    that stands: 0.02 s with ten thousand.
    """
    assert calls_of_one_failure_below_what_is_held(
        400
    ) < 1.5 * calls_of_one_failure_below_what_is_held(40)
