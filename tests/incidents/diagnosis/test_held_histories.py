"""A history that was loaded at once, part of it held: one cause, whatever is odd about it."""

from __future__ import annotations

from headrace.incidents.diagnosis.candidates import (
    CauseCandidate,
    candidate,
    certainty,
    gathered_history,
    history_summary,
    split_history,
)
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.diagnosis.rules import BY_KIND
from headrace.model.causes import CauseKind


def seen(
    id_: str, day: int, *, strength: float = 8.0, column: str = "", **more: object
) -> Evidence:
    fields = {"at_us": 100 + day, "history": 40, **more}
    return Evidence(
        id=id_, node="src", partition=f"2025-01-{day:02}", family=Family.NULLS, column=column,
        strength=strength, **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def cause(kind: CauseKind, *own: Evidence, chosen: bool = True) -> CauseCandidate:
    return candidate(BY_KIND[kind], "src", own, chosen=chosen)


def test_held_causes_of_a_history_are_one_and_the_rest_stays() -> None:
    """Would catch: an incident for each oddity of a first load; warnings, reports and restatements
    swallowed by it; the kind of the weakest evidence, or of the last."""
    nulls = cause(
        CauseKind.NULL_SPIKE,
        seen("a", 3, column="x", strength=9.0),
        seen("b", 4, column="x", strength=2.0),
    )
    volume = cause(CauseKind.VOLUME_ANOMALY, seen("c", 5, strength=8.0), seen("d", 4, strength=7.0))
    warned = cause(CauseKind.NULL_SPIKE, seen("e", 6, held=False, strength=20.0))
    reported = cause(CauseKind.REPORTED, seen("f", 7, strength=30.0))
    latent = cause(CauseKind.NULL_SPIKE, seen("g", 8, strength=40.0), chosen=False)
    nulls.symptoms, volume.symptoms = [seen("s", 1)], [seen("t", 2)]
    first, *others = gathered_history([volume, warned, nulls, reported, latent])
    assert others == [warned, reported, latent]
    assert (first.kind, first.node, first.chosen) == (CauseKind.NULL_SPIKE, "src", True)
    assert [item.id for item in first.own_evidence] == ["a", "c", "d", "b"]
    assert [item.id for item in first.symptoms] == ["t", "s"]
    assert first.history == (volume, nulls)
    assert gathered_history([warned, reported]) == [warned, reported]


def test_the_summary_counts_intervals_by_kind_and_column() -> None:
    """Would catch: evidence counted instead of intervals, warnings counted as held, and a list of
    kinds without an end."""
    nulls = cause(
        CauseKind.NULL_SPIKE,
        *(seen(f"n{day}{column}", day, column=column) for day in (1, 2, 3) for column in "zyxw"),
    )
    more = [
        cause(CauseKind.VOLUME_ANOMALY, seen("v", 3, history=41)),
        cause(CauseKind.DUPLICATE_ROWS, seen("d4", 4), seen("d5", 5)),
        cause(CauseKind.DISTRIBUTION_SHIFT, seen("s", 9, column="x"), seen("w", 10, history=0)),
    ]
    (result,) = gathered_history([*more, nulls])
    assert history_summary(result) == (
        "6 of 41 intervals of history held: null_spike in w, x, y and 1 more (3), "
        "distribution_shift in x (2), duplicate_rows (2) and 1 more"
    )
    (few,) = gathered_history([more[0]])
    assert history_summary(few) == "1 of 41 intervals of history held: volume_anomaly (1)"


def test_a_history_is_its_held_partitions_with_their_warnings() -> None:
    """Would catch: a warning of a held delivery that makes an incident of its own."""
    held, same, other = seen("a", 1), seen("b", 1, history=0, held=False), seen("c", 2, history=0)
    assert split_history([held, same, other]) == ([held, same], [other])


def test_how_sure_a_cause_is_in_words() -> None:
    """Would catch: a guess that is called established."""
    shown = [certainty(number) for number in (0.98, 0.9, 0.89, 0.6, 0.59, 0.3)]
    assert shown == ["established"] * 2 + ["likely"] * 2 + ["not established"] * 2
