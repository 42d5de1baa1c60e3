"""Small worlds, each with one question: which cause, at which node, and what is put down to it."""

from __future__ import annotations

import msgspec
import pytest

from headrace.incidents.diagnosis.attribution import diagnose
from headrace.incidents.diagnosis.candidates import candidate
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.graph import CauseGraph, CauseNode
from headrace.incidents.diagnosis.rules import BY_KIND
from headrace.incidents.diagnosis.shared_causes import merge_shared
from headrace.incidents.evidence.records import evidence_label
from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.causes import HEADRACE, Cause, CauseKind
from headrace.model.errors import BESIDES
from headrace.plan.schemas import ColumnLineage
from headrace.sql.values import Edge, Transformation

DAY = PartitionSpec(grain=Grain.DAY)
HOUR_US = 3_600_000_000
NOW = 1_000 * HOUR_US


def node(name: str, *inputs: str, source: bool = False, owner: str = "") -> CauseNode:
    specs = tuple(
        InputSpec(node=item, mode=InputMode.REQUIRED, place=Place(file="x")) for item in inputs
    )
    return CauseNode(name, specs, source, DAY, "UTC", owner)


def seen(
    at: str, family: Family, kind: str = "", column: str = "", *, hour: float = 0, **more: object
) -> Evidence:
    name, _, partition = at.partition("@")
    id_ = f"{family}:{at}:{column}:{hour}:{more.get('id', '')}"
    return Evidence(
        node=name,
        partition=partition,
        family=family,
        kind=kind,
        column=column,
        strength=float(more.pop("strength", 12.0)),  # type: ignore[arg-type]
        at_us=NOW + int(hour * HOUR_US),
        **({"id": id_} | more),  # type: ignore[arg-type]
    )


def lines(**of: dict[str, tuple[str, ...]]) -> CauseGraph:
    """`flights` and `weather` are sources; each argument is an asset: its columns, made of
    `input.column`.
    """
    nodes, known = [node("flights", source=True), node("weather", source=True)], {}
    for name, columns in of.items():
        edges = {
            own: tuple(
                Edge(item.partition(".")[0], item.partition(".")[2], Transformation.IDENTITY)
                for item in made
            )
            for own, made in columns.items()
        }
        known[name] = ColumnLineage(edges)
        nodes.append(
            node(name, *dict.fromkeys(edge.input for each in edges.values() for edge in each))
        )
    return CauseGraph(nodes, known.get)


def shown(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.kind.value, cause.node) for cause in causes]


def test_a_rename_over_three_days_is_one_cause_with_both_columns() -> None:
    """Would catch: one incident a column or a day."""
    result = [
        seen(
            f"flights@2013-02-{day}",
            Family.SCHEMA,
            "schema_change",
            column,
            hour=24 * day,
            detail="renamed; same type",
        )
        for day in (11, 12, 13)
        for column in ("dep_delay", "arr_delay")
    ]
    (cause,) = diagnose(result, lines(), NOW)
    assert (cause.kind, cause.node, cause.columns, len(cause.partitions)) == (
        "schema_change",
        "flights",
        ("arr_delay", "dep_delay"),
        3,
    )
    assert cause.summary == "2 columns renamed"
    assert cause.began_us == NOW + 24 * 11 * HOUR_US


def test_a_warning_upstream_explains_a_failed_check_made_of_its_column_only() -> None:
    """Would catch: attribution that follows nodes and not columns."""
    graph = lines(delays={"delay": ("flights.dep_delay",)}, planes={"plane": ("flights.tailnum",)})
    warned = seen(
        "flights@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "dep_delay", held=False
    )
    failed = seen(
        "delays@2013-02-11", Family.CHECK, "distribution_shift", hour=1, detail="delay_is_minutes"
    )
    other = seen("planes@2013-02-11", Family.CHECK, "null_spike", hour=1, detail="plane_not_null")
    result = diagnose([warned, failed, other], graph, NOW)
    assert shown(result) == [("distribution_shift", "flights"), ("null_spike", "planes")]
    assert set(result[0].explains) == {warned.id, failed.id}


@pytest.mark.parametrize("partition", ["2013-02-11", ""])
@pytest.mark.parametrize("kind", ["reference_broken", "null_spike", "volume_anomaly"])
def test_a_failure_of_code_isnt_put_down_to_a_warning(partition: str, kind: str) -> None:
    """Would catch: code that fails over nothing of its data, put down to a check that has warned
    every day, so that what readers have had all the time is wrong."""
    graph = lines(delays={"delay": ("flights.dep_delay",), "wind": ("weather.wind",)})
    at = f"delays@{partition}"
    warned = seen(at, Family.CHECK, kind, detail="delay_not_null", held=False, hour=-24)
    failed = seen(at, Family.ERROR, error_kind="deterministic", observed="Conversion Error")
    (cause,) = diagnose([warned, failed], graph, NOW)
    assert (cause.kind, cause.node) == ("code_error", "delays")
    assert cause.own == (failed.id,)


@pytest.mark.parametrize(
    ("since", "known"), [(-48, []), (1, ["code_error"]), (None, ["code_error"])]
)
def test_new_code_isnt_to_blame_for_a_check_that_warned_before(
    since: int | None, known: list[str]
) -> None:
    """Would catch: an incident of new code over a check that has warned alike every day."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    alike = None if since is None else NOW + since * HOUR_US
    change = seen("delays", Family.CHANGE, held=False, detail="body")
    warned = seen(
        "delays@2013-02-11",
        Family.CHECK,
        "null_spike",
        detail="delay_not_null",
        held=False,
        hour=2,
        alike_since_us=alike,
    )
    result = diagnose([change, warned], graph, NOW + 3 * HOUR_US)
    assert [cause.kind.value for cause in result] == known


def test_a_warning_that_does_no_harm_is_no_incident() -> None:
    """Would catch: false alarms in clean months."""
    assert (
        diagnose(
            [seen("flights@2013-02-11", Family.VOLUME, "volume_anomaly", held=False)], lines(), NOW
        )
        == []
    )


def test_another_days_warning_explains_nothing() -> None:
    """Would catch: attribution that doesn't map intervals."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    warned = seen("flights@2013-02-10", Family.NULLS, "null_spike", "dep_delay", held=False)
    failed = seen("delays@2013-02-11", Family.CHECK, "null_spike", hour=1)
    assert shown(diagnose([warned, failed], graph, NOW)) == [("null_spike", "delays")]


def test_doubled_rows_of_a_new_body_dont_follow_from_nulls_above_it() -> None:
    """Would catch: a join that doubles the rows since it was written, put down to values that its
    input lacks; a source's doubled rows that a new body passes on, put down to the body."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    change = seen("delays", Family.CHANGE, held=False, detail="body")
    nulls = seen("flights@2013-02-11", Family.NULLS, "null_spike", "dep_delay", hour=1, held=False)
    doubled = seen("delays@2013-02-11", Family.VOLUME, "volume_anomaly", hour=2, detail="× 2")
    assert shown(diagnose([change, nulls, doubled], graph, NOW + 10 * HOUR_US)) == [
        ("code_error", "delays")
    ]
    same = msgspec.structs.replace(
        doubled, family=Family.DUPLICATES, kind="duplicate_rows", detail="80 rows"
    )
    assert shown(diagnose([change, nulls, same], graph, NOW + 10 * HOUR_US)) == [
        ("code_error", "delays")
    ]
    halved = msgspec.structs.replace(doubled, detail="× 0.5")
    assert shown(diagnose([change, nulls, halved], graph, NOW + 10 * HOUR_US)) == [
        ("null_spike", "flights")
    ]
    above = seen(
        "flights@2013-02-11", Family.VOLUME, "volume_anomaly", hour=1, held=False, detail="× 2"
    )
    assert shown(diagnose([change, above, doubled], graph, NOW + 10 * HOUR_US)) == [
        ("volume_anomaly", "flights")
    ]


@pytest.mark.parametrize(
    ("day", "column", "known"),
    [
        ("2013-02-11", "dep_delay", []),
        ("2013-02-11", "tailnum", [("code_error", "delays")]),
        ("2013-02-10", "dep_delay", [("code_error", "delays")]),
    ],
    ids=["its column", "another column", "another day"],
)
def test_what_a_held_delivery_brings_once_it_is_published_is_no_fault_of_new_code(
    day: str, column: str, known: list[tuple[str, str]]
) -> None:
    """Would catch: SQL that is said to be wrong, since its input's type was widened while a shifted
    delivery was held for it, and both warn of the shift as soon as it is published."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    widened = seen("delays", Family.CHANGE, hour=1, held=False, detail="schema")
    of_shift = {"held": False, "began_us": NOW}
    kind = (Family.DISTRIBUTION, "distribution_shift")
    above = seen(f"flights@{day}", *kind, column, hour=2, **of_shift)
    odd = seen("delays@2013-02-11", *kind, "delay", hour=3, held=False)
    assert shown(diagnose([widened, above, odd], graph, NOW + 10 * HOUR_US)) == known


def test_odd_output_after_a_change_of_the_body_is_the_codes() -> None:
    """Would catch: data blamed for what a release did."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    change = seen("delays", Family.CHANGE, held=False, detail="body")
    odd = seen("delays@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "delay", hour=2)
    assert shown(diagnose([change, odd], graph, NOW + 10 * HOUR_US)) == [("code_error", "delays")]


def test_a_change_after_the_failure_isnt_its_cause() -> None:
    """Would catch: time order ignored."""
    change = seen("delays", Family.CHANGE, hour=5, held=False, detail="body")
    odd = seen("delays@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "delay", hour=2)
    result = diagnose(
        [change, odd], lines(delays={"delay": ("flights.dep_delay",)}), NOW + 10 * HOUR_US
    )
    assert shown(result) == [("distribution_shift", "delays")]


def test_three_sources_of_one_host_that_dont_answer_are_one_cause() -> None:
    """Would catch: a ticket a source for one network fault."""
    graph = CauseGraph([node(name, source=True) for name in ("a", "b", "c", "d")])
    result = [
        seen(name, Family.ACCESS, observed="connection refused", host="sftp.example")
        for name in ("a", "b", "c")
    ]
    result.append(seen("d", Family.ACCESS, observed="403 Forbidden", host="api.example"))
    causes = diagnose(result, graph, NOW)
    assert shown(causes) == [("source_unavailable", "a"), ("access_denied", "d")]
    assert causes[0].nodes == ("b", "c")


def test_a_cause_that_is_shared_twice_names_all_nodes() -> None:
    """Would catch: an outage of two sources that one vendor's two other late sources join, of which
    the incident then names three of four."""
    names = ("s1", "s2", "s3", "s4")
    graph = CauseGraph([node(name, source=True, owner="acme") for name in names], {}.get)
    missing = [seen(f"{name}@2013-02-11", Family.ARRIVAL) for name in names]
    outage = Cause(
        kind=CauseKind.SOURCE_UNAVAILABLE,
        node="s1",
        began_us=NOW,
        confidence=0.9,
        explains=tuple(each.id for each in missing[:2]),
    )
    late = [
        candidate(BY_KIND[CauseKind.MISSING_SOURCE], each.node, [each], chosen=True)
        for each in missing
    ]
    (cause,) = merge_shared(late, graph, [outage])
    assert (cause.node, cause.nodes) == ("s1", ("s2", "s3", "s4"))


ENVIRONMENT = {
    "scipy": "ModuleNotFoundError: No module named 'scipy'",
    "gomp": "OSError: libgomp.so.1: cannot open shared object file",
}


@pytest.mark.parametrize(
    "said",
    [
        *ENVIRONMENT.values(),
        "ConnectionError: could not resolve host rates.example",
        "RuntimeError: no licence",
    ],
)
def test_the_same_error_in_assets_of_many_sources_is_one_cause(said: str) -> None:
    """Would catch: an incident for each source, each blamed on its vendor, where a library is
    missing (200 assets gave 10).
    """
    sources = [node(f"s{number}", source=True) for number in range(10)]
    graph = CauseGraph(
        [*sources, *(node(f"a{number}", f"s{number % 10}") for number in range(200))]
    )
    result = [
        seen(f"a{number}@2013-02-11", Family.ERROR, observed=said, id=f"{number}")
        for number in range(200)
    ]
    (cause,) = diagnose(result, graph, NOW)
    assert len({cause.node, *cause.nodes}) == 200


@pytest.mark.parametrize("said", ENVIRONMENT.values())
def test_what_a_library_is_missing_for_isnt_its_sources_and_is_one_cause_whenever_each_runs(
    said: str,
) -> None:
    """Would catch: the vendor of the only source told that its delivery lacks a Python package; a
    second incident for what runs at noon."""
    graph = CauseGraph([node("flights", source=True), node("a", "flights"), node("b", "flights")])
    result = [
        seen("a@2013-02-11", Family.ERROR, observed=said),
        seen("b@2013-02-11", Family.ERROR, observed=said, hour=7),
    ]
    assert shown(diagnose(result, graph, NOW)) == [("code_error", "a")]


def test_what_is_left_of_one_cause_in_many_nodes_stays_one() -> None:
    """Would catch: new incidents for the last two of two hundred assets, while a fix makes them
    well one by one."""
    graph = CauseGraph(
        [
            node("s", source=True),
            node("t", source=True),
            *(node(name, read) for name, read in zip("abcd", "stst", strict=True)),
        ]
    )
    result = [
        seen(f"{name}@2013-02-11", Family.ERROR, observed="RuntimeError: no licence")
        for name in "abcd"
    ]
    (before,) = diagnose(result, graph, NOW)
    assert len(diagnose(result[2:], graph, NOW)) == 2  # two alike may be chance
    assert len(diagnose(result[2:], graph, NOW, [before])) == 1


def test_what_an_open_incident_explained_stays_with_it_when_its_own_evidence_is_gone() -> None:
    """Would catch: a new incident for each symptom once the source is repaired."""
    failed = seen("delays@2013-02-11", Family.CHECK, "null_spike", hour=1)
    known = Cause(
        kind=CauseKind.NULL_SPIKE,
        node="flights",
        began_us=NOW,
        confidence=0.9,
        own=("fact:1",),
        explains=("fact:1", failed.id),
    )
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    assert shown(diagnose([failed], graph, NOW)) == [("null_spike", "delays")]
    assert shown(diagnose([failed], graph, NOW, [known])) == [("null_spike", "flights")]


def test_a_weak_warning_about_what_a_new_body_gives_out_is_the_codes() -> None:
    """Would catch: a body that multiplies by a thousand and is only warned of, because its asset
    has few rows."""
    graph = lines(delays={"delay": ("flights.dep_delay",)})
    change = seen("delays", Family.CHANGE, held=False, detail="body")
    odd = seen(
        "delays@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "delay",
        hour=2,
        held=False,
        strength=4.3,
    )
    assert shown(diagnose([change, odd], graph, NOW + 10 * HOUR_US)) == [("code_error", "delays")]
    above = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "dep_delay",
        hour=1,
        held=False,
    )
    assert diagnose([above, odd], graph, NOW + 10 * HOUR_US) == []


@pytest.mark.parametrize(
    ("change", "code", "said", "kind"),
    [
        ({"added": True}, "", "no connection (Connection refused)", "source_unavailable"),
        ({"added": True}, "access_denied", "answers 401 Unauthorized", "access_denied"),
        ({"added": True}, "", "", "missing_source"),
        ({"added": True}, "", "No such file or directory: landing", "configuration_error"),
        ({"readdressed": True}, "", "no connection (Connection refused)", "source_unavailable"),
        ({"readdressed": True}, "access_denied", "answers 403 Forbidden", "configuration_error"),
        ({}, "access_denied", "answers 403 Forbidden", "access_denied"),
        ({"readdressed": True}, "", "", "configuration_error"),
    ],
)
def test_a_declaration_is_to_blame_for_what_it_can_keep_away(
    change: dict[str, bool], code: str, said: str, kind: str
) -> None:
    """Would catch: a server that is down, and a token that has expired, put down to whoever
    declared the source the day before, with "correct sources/limits.yaml"."""
    graph = CauseGraph([node("limits", source=True)])
    result = [
        seen(
            "limits",
            Family.CHANGE,
            held=False,
            detail="added" if "added" in change else "schedule",
            **change,
        ),
        seen(
            "limits@2013-02-11",
            Family.ARRIVAL,
            "" if said else "missing_source",
            hour=2,
            observed="nothing was delivered",
        ),
    ]
    if said:
        result.append(
            seen(
                "limits",
                Family.ACCESS,
                code or "source_unavailable",
                hour=1,
                observed=said,
                detail=code,
            )
        )
    assert shown(diagnose(result, graph, NOW + 10 * HOUR_US)) == [(kind, "limits")]


def test_nulls_of_changed_code_name_their_column() -> None:
    """Would catch: "never before; version 2 changed its code" of a column that is all nulls since
    then."""
    graph = CauseGraph([node("flights", source=True), node("delays", "flights")])
    change = seen(
        "delays", Family.CHANGE, held=False, detail="body", observed="body changed by ann"
    )
    nulls = seen(
        "delays@2013-02-11",
        Family.NULLS,
        "null_spike",
        "delay",
        hour=1,
        strength=36,
        detail="never before",
        held=False,
    )
    (cause,) = diagnose([change, nulls], graph, NOW + 10 * HOUR_US)
    assert (cause.kind, cause.summary.partition(";")[0]) == ("code_error", "nulls in delay")


def test_a_unit_is_said_of_its_own_columns() -> None:
    """Would catch: "amount, method × 100 (per cent, or cents?)" of a method that is a text."""
    result = [
        seen(
            "flights@2013-02-11",
            Family.DISTRIBUTION,
            "distribution_shift",
            "amount",
            strength=30,
            detail="location: × 100 (cents?)",
        ),
        seen(
            "flights@2013-02-11",
            Family.DISTRIBUTION,
            "distribution_shift",
            "fee",
            strength=20,
            detail="location: × 100 (cents?)",
        ),
        seen(
            "flights@2013-02-11",
            Family.DISTRIBUTION,
            "distribution_shift",
            "method",
            detail="category mix: 'CARD' is new",
        ),
    ]
    (cause,) = diagnose(result, lines(), NOW)
    assert (cause.summary, cause.columns) == (
        "amount, fee × 100 (cents?)",
        ("amount", "fee", "method"),
    )


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("kind", ["destination_unavailable", "configuration_error"])
def test_a_target_is_to_blame_for_what_only_its_declaration_could_not_mend(
    kind: str, changed: bool
) -> None:
    """Would catch: a folder that is a file put down to who declared the export, since nothing was
    exported before; a declaration that can't work put down to its target, as it worked for another
    day, and "Headrace goes on trying" of what isn't tried again."""
    graph = CauseGraph([node("flights", source=True), node("report", "flights")])
    said = (
        "Not a directory: exports"
        if kind == "destination_unavailable"
        else "Is a directory: exports"
    )
    failed = seen("report@2013-02-11", Family.EXPORT, hour=2, observed=said, detail=kind)
    change = seen("report", Family.CHANGE, held=False, detail="metadata")
    result = [change, failed] if changed else [failed]
    assert shown(diagnose(result, graph, NOW + 10 * HOUR_US)) == [(kind, "report")]


def test_reference_data_written_over_with_other_keys_is_a_broken_reference() -> None:
    """Would catch: a restatement named where joins lost their partners."""
    graph = lines(delays={"delay": ("flights.dep_delay",), "place": ("weather.place",)})
    restated = seen("weather", Family.RESTATED, "restatement", held=False, strength=20)
    empty = seen("delays@2013-02-11", Family.NULLS, "null_spike", "place", hour=2, held=False)
    (cause,) = diagnose([restated, empty], graph, NOW + 10 * HOUR_US)
    assert (cause.kind, cause.node) == ("reference_broken", "weather")


def test_a_past_that_is_rewritten_is_named_beside_what_is_open_at_the_same_source() -> None:
    """Would catch: a restatement told of days later, once another incident at the
    source has ended.
    """
    odd = seen("flights@2013-02-11", Family.VOLUME, "volume_anomaly", hour=24, held=False)
    known = Cause(
        kind=CauseKind.FORMAT_CHANGE,
        node="flights",
        partitions=("2013-02-11",),
        began_us=NOW,
        confidence=0.9,
        own=("x",),
        explains=("x", odd.id),
    )
    again = seen(
        "flights@2013-02-11", Family.RESTATED, "restatement", hour=24, held=False, strength=20
    )
    result = diagnose([odd, again], lines(), NOW + 30 * HOUR_US, [known])
    assert ("restatement", (again.id,)) in [(item.kind.value, item.explains) for item in result]


def test_values_missing_only_after_a_join_are_a_broken_reference() -> None:
    """Would catch: empty cells blamed where keys found no partner."""
    graph = lines(delays={"delay": ("flights.dep_delay",), "place": ("weather.place",)})
    empty = seen("delays@2013-02-11", Family.NULLS, "null_spike", "place")
    assert shown(diagnose([empty], graph, NOW)) == [("reference_broken", "delays")]
    above = seen("weather@2013-02-11", Family.NULLS, "null_spike", "place", hour=-1, held=False)
    assert shown(diagnose([above, empty], graph, NOW)) == [("null_spike", "weather")]


def test_keys_that_nobody_knows_are_a_broken_reference_at_the_source_that_names_them() -> None:
    """Would catch: a third of the rows without a partner, published with a warning, and nobody
    told.
    """
    place = (Edge("weather", "place", Transformation.IDENTITY),)
    joined = ColumnLineage({"place": place}, (Edge("flights", "carrier", Transformation.JOIN_KEY),))
    nodes = [
        node("flights", source=True),
        node("weather", source=True),
        node("delays", "flights", "weather"),
    ]
    graph = CauseGraph(nodes, {"delays": joined}.get)
    more = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "carrier",
        held=False,
        observed="205 distinct values",
    )
    empty = seen(
        "delays@2013-02-11", Family.NULLS, "null_spike", "place", hour=2, held=False, strength=36
    )
    (cause,) = diagnose([more, empty], graph, NOW + 10 * HOUR_US)
    assert (cause.kind, cause.node, cause.columns) == ("reference_broken", "flights", ("carrier",))
    storm = seen("weather@2013-02-11", Family.NULLS, "null_spike", "place", held=False, strength=36)
    assert diagnose([storm, empty], graph, NOW + 10 * HOUR_US) == []


@pytest.mark.parametrize(
    ("joined_by", "detail", "kind"),
    [
        ("code", "other names: most of what was named is gone", "reference_broken"),
        ("code", "other names: many that the interval before hadn't", "reference_broken"),
        ("code", "other names: 'GBX' instead of 'GBP'", "reference_broken"),
        ("origin", "other names: 'GBX' instead of 'GBP'", "distribution_shift"),
        ("code", "another grain: most of what was named is gone", "distribution_shift"),
        ("origin", "other names: most of what was named is gone", "distribution_shift"),
    ],
)
def test_a_delivery_held_for_other_keys_breaks_the_join_further_down(
    joined_by: str, detail: str, kind: str
) -> None:
    """Would catch: keys that nobody knows, held before anything could be joined by them, told as
    values that are others; the same said of a column that nothing is joined by."""
    clean = ColumnLineage({"code": (Edge("flights", "carrier", Transformation.IDENTITY),)})
    place = {"place": (Edge("weather", "place", Transformation.IDENTITY),)}
    joined = ColumnLineage(place, (Edge("clean", joined_by, Transformation.JOIN_KEY),))
    nodes = [node("flights", source=True), node("weather", source=True)]
    nodes += [node("clean", "flights"), node("delays", "clean", "weather")]
    graph = CauseGraph(nodes, {"clean": clean, "delays": joined}.get)
    held = seen(
        "flights@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "carrier", detail=detail
    )
    (cause,) = diagnose([held], graph, NOW + 10 * HOUR_US)
    assert (cause.kind, cause.node, cause.columns) == (kind, "flights", ("carrier",))
    if kind == "reference_broken":
        assert cause.summary == "other keys in carrier than in the interval before"
    assert "GBX" not in cause.summary, "names are values of cells"


def test_much_that_is_odd_after_a_change_is_the_codes() -> None:
    """Would catch: amounts times 100 since a body was changed, odd in so many ways that they were
    taken for odd data, of which a warning alone opens nothing."""
    graph = lines(totals={"amount": ("flights.amount",)})
    changed = seen("totals", Family.CHANGE, hour=-5, strength=2, detail="body", held=False)
    odd = [
        seen(
            "totals@2013-02-11",
            Family.DISTRIBUTION,
            "distribution_shift",
            "amount",
            id=f"fact:{number}",
            held=False,
            strength=100,
            detail=f"category mix: '{number}' is '{number}00'",
        )
        for number in range(4)
    ]
    assert shown(diagnose([changed, *odd], graph, NOW + 10 * HOUR_US)) == [("code_error", "totals")]


def test_values_that_are_odd_whatever_the_rows_are_have_a_cause_of_their_own() -> None:
    """Would catch: another unit in a file whose rows are there twice told only after the rows were
    mended; shares that the rows themselves have moved told as another cause; what holds a delivery
    whose names are decided put down to its names."""
    twice = seen(
        "flights@2013-02-11",
        Family.DUPLICATES,
        "duplicate_rows",
        hour=1,
        strength=30,
        detail="643 rows",
    )
    unit = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "distance",
        hour=1,
        strength=31,
        detail="location: × 1.61",
    )
    shares = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "carrier",
        hour=1,
        strength=30,
        detail="category mix",
    )
    result = diagnose([twice, unit, shares], lines(), NOW + 10 * HOUR_US)
    assert sorted(shown(result)) == [
        ("distribution_shift", "flights"),
        ("duplicate_rows", "flights"),
    ]
    renamed = seen(
        "flights@2013-02-11",
        Family.SCHEMA,
        "schema_change",
        "distance",
        hour=1,
        strength=20,
        detail="renamed",
    )
    about = f"location: × 1.61; {BESIDES}"
    besides = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "distance",
        hour=1,
        strength=16,
        detail=about,
    )
    result = diagnose([renamed, besides], lines(), NOW + 10 * HOUR_US)
    assert sorted(shown(result)) == [
        ("distribution_shift", "flights"),
        ("schema_change", "flights"),
    ]


def test_a_column_renamed_with_other_values_has_one_cause() -> None:
    """Would catch: two incidents of one change of the vendor's; which name the values came under."""
    how = "renamed; both are DOUBLE; values × 1.6, by 30 sound partitions"
    renamed = seen(
        "flights@2013-02-11", Family.SCHEMA, "schema_change", "distance", strength=20, detail=how
    )
    about = f"location: × 1.6; delivered as distance_km; {BESIDES}"
    for strength in (16, 31):
        unit = seen(
            "flights@2013-02-11",
            Family.DISTRIBUTION,
            "distribution_shift",
            "distance",
            strength=strength,
            detail=about,
        )
        (names,) = diagnose([renamed, unit], lines(), NOW)
        assert (names.kind, names.own, names.explains, names.summary) == (
            CauseKind.SCHEMA_CHANGE,
            (renamed.id,),
            (renamed.id, unit.id),
            "1 column renamed, distance: values × 1.6",
        )


def test_what_holds_a_delivery_under_names_that_were_mapped_has_a_cause_of_its_own() -> None:
    """Would catch: a rename that was read all the same, blamed for the unit that the delivery is
    held for.
    """
    mapped = seen(
        "flights@2013-02-11",
        Family.SCHEMA,
        "schema_change",
        "distance",
        strength=12,
        detail="renamed; upper case",
        held=False,
    )
    unit = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "distance",
        strength=31,
        detail="location: × 1.61",
    )
    assert sorted(shown(diagnose([mapped, unit], lines(), NOW))) == [
        ("distribution_shift", "flights"),
        ("schema_change", "flights"),
    ]


def test_names_that_were_accepted_arent_to_blame_for_what_the_delivery_shows() -> None:
    """Would catch: whoever accepts a new header blamed for the rows of the file, or the missing
    column told instead of them.
    """
    accepted = seen("flights", Family.CHANGE, held=False, detail="body")
    gone = seen(
        "flights@2013-02-11",
        Family.SCHEMA,
        "schema_change",
        "plane",
        hour=1,
        held=False,
        strength=20,
        detail="dropped",
    )
    rows = seen(
        "flights@2013-02-11", Family.VOLUME, "volume_anomaly", hour=1, strength=27, detail="× 14.2"
    )
    shares = seen(
        "flights@2013-02-11",
        Family.DISTRIBUTION,
        "distribution_shift",
        "carrier",
        hour=1,
        strength=27,
    )
    result = diagnose([accepted, gone, rows, shares], lines(), NOW + 10 * HOUR_US)
    assert sorted(shown(result)) == [("schema_change", "flights"), ("volume_anomaly", "flights")]
    declared = seen("flights", Family.CHANGE, "", "carrier\nplane", held=False, detail="body")
    held = seen(
        "flights@2013-02-11",
        Family.SCHEMA,
        "schema_change",
        "plane",
        hour=1,
        strength=20,
        detail="dropped",
    )
    result = diagnose([declared, held], lines(), NOW + 10 * HOUR_US)
    assert shown(result) == [("configuration_error", "flights")]


def test_rows_are_named_beside_a_format_that_was_read_all_the_same() -> None:
    """Would catch: fourteen times the rows put down to how dates are written."""
    dates = seen("flights@2013-02-11", Family.FORMAT, "format_change", "time", held=False)
    rows = seen("flights@2013-02-11", Family.VOLUME, "volume_anomaly", strength=27, detail="× 14.2")
    result = diagnose([dates, rows], lines(), NOW)
    assert sorted(shown(result)) == [("format_change", "flights"), ("volume_anomaly", "flights")]


def test_what_stood_before_makes_no_change_recent() -> None:
    """Would catch: a release of last week blamed for today's figures, since something older than
    the release still stands.
    """
    graph = lines(delays={"delay": ("flights.dep_delay",), "plane": ("flights.tailnum",)})
    old = seen("delays@2013-02-01", Family.DISTRIBUTION, "distribution_shift", "plane", hour=-300)
    change = seen("delays", Family.CHANGE, hour=-200, held=False, detail="body")
    odd = seen("delays@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "delay", hour=2)
    result = diagnose([old, change, odd], graph, NOW + 10 * HOUR_US)
    assert {item.kind.value for item in result} == {"distribution_shift"}
    soon = seen("delays@2013-02-03", Family.DISTRIBUTION, "distribution_shift", "delay", hour=-190)
    result = diagnose([old, change, soon, odd], graph, NOW + 10 * HOUR_US)
    assert {item.kind.value for item in result} == {"distribution_shift", "code_error"}


def test_fewer_rows_arent_one_cause_with_more_of_them_days_before() -> None:
    """Would catch: a cut file told at the partition of an earlier day that only had a few rows
    more.
    """
    more = seen(
        "flights@2013-02-10",
        Family.VOLUME,
        "volume_anomaly",
        hour=-24,
        held=False,
        strength=6,
        detail="× 1.58",
    )
    fewer = seen(
        "flights@2013-02-11", Family.VOLUME, "volume_anomaly", strength=17, detail="× 0.151"
    )
    (cause,) = diagnose([more, fewer], lines(), NOW)
    assert (cause.partitions, cause.detail) == (("2013-02-11",), "fewer")


def test_keys_that_nobody_knows_are_put_down_to_who_delivered_them_not_to_the_first_copy() -> None:
    """Would catch: the table next to the harm taken for its cause, because each copy of the odd
    column was warned of by itself.
    """
    graph = lines(
        clean={"entity": ("flights.entity",)}, joined={"region": ("clean.entity", "weather.region")}
    )
    more = {"held": False, "observed": "185 distinct values", "strength": 9.5}
    result = [
        seen("flights@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "entity", **more),
        seen(
            "clean@2013-02-11", Family.DISTRIBUTION, "distribution_shift", "entity", hour=1, **more
        ),
        seen("joined@2013-02-11", Family.NULLS, "null_spike", "region", hour=2, strength=42.0),
    ]
    (cause,) = diagnose(result, graph, NOW)
    assert (cause.kind, cause.node, len(cause.explains)) == ("reference_broken", "flights", 3)


def test_of_two_that_refer_to_the_same_the_one_that_finds_nothing_has_other_keys() -> None:
    """Would catch: a team woken for its join, where the keys that were delivered to it name nobody;
    the delivery blamed for that where what is referred to may have lost them."""
    delays = {"delay": ("flights.delay",), "place": ("weather.place",)}
    empty = seen("delays@2013-02-11", Family.NULLS, "null_spike", "place", strength=30.0)
    both = lines(delays=delays, other={"place": ("delays.place", "weather.place")})
    assert shown(diagnose([empty], both, NOW)) == [("reference_broken", "flights")]
    assert shown(diagnose([empty], lines(delays=delays), NOW)) == [("reference_broken", "delays")]


def test_a_storm_weeks_ago_is_no_part_of_what_is_held_today_and_yesterdays_warning_is() -> None:
    """Would catch: an incident that began three weeks before its cause, because the same column was
    unusual then for another reason; a fault that grew, of which the first day isn't told."""
    days = {
        "2013-02-08": False,
        "2013-02-09": False,
        "2013-02-28": False,
        "2013-03-01": True,
        "2013-03-04": True,
    }
    result = [
        seen(f"flights@{day}", Family.NULLS, "null_spike", "delay", hour=n, held=held)
        for n, (day, held) in enumerate(days.items())
    ]
    (cause,) = diagnose(result, lines(), NOW + 10 * HOUR_US)
    assert cause.partitions == ("2013-02-28", "2013-03-01", "2013-03-04")


def test_a_table_that_code_made_too_large_says_how_large() -> None:
    """Would catch: an incident that is summed up as "× 81.7", of nobody knows what."""
    change = seen("broad", Family.CHANGE, hour=-1, held=False, detail="body")
    rows = seen(
        "broad@2013-02-11",
        Family.VOLUME,
        "volume_anomaly",
        hour=1,
        strength=27,
        detail="× 81.7",
        expected="70 rows",
        observed="5,810 rows",
    )
    (cause,) = diagnose([change, rows], lines(broad={"day": ("flights.day",)}), NOW + 10 * HOUR_US)
    assert (cause.kind, cause.summary) == ("code_error", "5,810 rows, expected 70 rows")


RAGGED = "unreadable; line 5: 6 values where the header has 5 columns"
OTHER_FORMS = [
    ("format_change", Family.FORMAT, "unreadable; byte 0xF6 isn't UTF-8"),
    ("volume_anomaly", Family.VOLUME, "empty file"),
    ("volume_anomaly", Family.VOLUME, "cut off"),
]


@pytest.mark.parametrize(("kind", "family", "detail"), OTHER_FORMS)
def test_files_that_are_wrong_in_other_ways_on_two_days_are_two_causes(
    kind: str, family: Family, detail: str
) -> None:
    """Would catch: an empty file put down to the file of the day before that was cut off, whose
    repair mends nothing of it.
    """
    before = {"cut off": "empty file", "empty file": "cut off"}.get(detail, RAGGED)
    result = [
        seen("flights@2013-02-11", family, kind, detail=before, id="1"),
        seen("flights@2013-02-12", family, kind, hour=24, detail=detail, id="2"),
    ]
    assert [item.own for item in diagnose(result, lines(), NOW + 24 * HOUR_US)] == [("1",), ("2",)]
    assert len({item.detail for item in diagnose(result, lines(), NOW)}) == 2


def test_files_that_are_wrong_in_one_way_on_two_days_are_one_cause() -> None:
    """Would catch: an incident a day, because another line is ragged each day."""
    result = [
        seen("flights@2013-02-11", Family.FORMAT, "format_change", detail=RAGGED, id="1"),
        seen("flights@2013-02-12", Family.FORMAT, "format_change", hour=24, id="2",
             detail="unreadable; line 1,048: 1 value where the header has 5 columns"),
    ]  # fmt: skip
    (cause,) = diagnose(result, lines(), NOW + 24 * HOUR_US)
    assert (cause.partitions, cause.detail) == (
        ("2013-02-11", "2013-02-12"),
        "line …: … value where the header has … column",
    )


def test_what_was_read_all_the_same_isnt_the_cause_of_what_is_held_for_another_form() -> None:
    """Would catch: a column that can't be read any more put down to its decimal comma of the day
    before, which readers have.
    """
    result = [
        seen(
            "flights@2013-02-11",
            Family.FORMAT,
            "format_change",
            "fare",
            held=False,
            observed="a decimal comma",
            id="1",
        ),
        seen(
            "flights@2013-02-12",
            Family.FORMAT,
            "format_change",
            "fare",
            hour=24,
            observed="a currency",
            id="2",
        ),
    ]
    assert [item.own for item in diagnose(result, lines(), NOW + 24 * HOUR_US)] == [("1",), ("2",)]


def test_what_was_held_before_its_server_went_down_isnt_put_down_to_that() -> None:
    """Would catch: an incident of three held days that becomes one of a server that answered on
    each of them.
    """
    held = [
        seen(
            f"flights@2013-02-{11 + day}",
            Family.DISTRIBUTION,
            "distribution_shift",
            "fare",
            hour=24 * day,
            id=str(day),
        )
        for day in range(3)
    ]
    down = seen("flights", Family.ACCESS, "source_unavailable", hour=71, id="down")
    result = {
        item.kind.value: item.explains
        for item in diagnose([*held, down], lines(), NOW + 72 * HOUR_US)
    }
    assert result == {"distribution_shift": ("0", "1", "2"), "source_unavailable": ("down",)}


def test_a_proposal_is_given_whole_and_a_long_observation_is_marked_as_cut() -> None:
    """Would catch: "fits if due by 05:41 5 days later, or there 4 ", cut in the middle of what
    somebody has to do.
    """
    expected = "by 06:00; fits if due by 05:41 5 days later, or there 4 days 23 h 41 min earlier"
    observed = (
        "usually there at 05:41 5 days later (the last 5 were; the last 5 were there by 05:41 5"
        " days later)"
    )
    late = seen(
        "flights", Family.ARRIVAL, "deadline_infeasible", expected=expected, observed=observed
    )
    (proposed,) = diagnose([late], lines(), NOW)
    assert proposed.summary == f"{observed}; due {expected}"
    (failed,) = diagnose(
        [seen("flights@2013-02-11", Family.ERROR, observed="x" * 500)], lines(), NOW
    )
    assert len(failed.summary) <= 160
    assert failed.summary.endswith("…")


def test_what_an_observation_is_called() -> None:
    """Would catch: "arrival" for a delivery that isn't there."""
    assert evidence_label(seen("flights@2013-02-11", Family.ARRIVAL)) == "no delivery"
    assert (
        evidence_label(seen("flights@2013-02-11", Family.ARRIVAL, "late_source")) == "late source"
    )


@pytest.mark.parametrize(
    ("begins", "kinds"), [(11.9, {"runtime_down"}), (12.01, {"runtime_down", "slow_run"})]
)
def test_a_slow_run_after_an_outage_has_its_own_cause(begins: float, kinds: set[str]) -> None:
    """Would catch: an asset that takes a minute since its code was changed, put down to a day on
    which nobody looked.
    """
    down = seen(HEADRACE, Family.ABSENCE, "runtime_down", hour=12, began_us=NOW)
    slow = seen(
        "delays@2013-02-11",
        Family.DURATION,
        "slow_run",
        hour=12.05,
        held=False,
        began_us=NOW + int(begins * HOUR_US),
    )
    result = diagnose(
        [down, slow], lines(delays={"delay": ("flights.dep_delay",)}), NOW + 13 * HOUR_US
    )
    assert {item.kind.value for item in result} == kinds
