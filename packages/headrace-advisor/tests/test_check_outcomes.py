"""What checks came to over all their evaluations."""

from __future__ import annotations

from written_rows import attempt, check, delivery, published, run

from headrace.store import Store
from headrace_advisor.queries import check_outcomes


def test_evaluations_are_counted_by_check(store: Store) -> None:
    """Would catch: a check that was never evaluated counted as evaluated."""
    with store.write(None) as tx:
        check(tx, 1)
        check(tx, 2, outcome="failed")
        check(tx, 3, outcome="unchecked")
        check(tx, 3, name="range")
        check(tx, 4, "b")
        assert check_outcomes.check_counts(tx) == {
            ("a", "unique"): 2,
            ("a", "range"): 1,
            ("b", "unique"): 1,
        }


def test_a_check_that_contradicts_itself_on_the_same_data_is_named(store: Store) -> None:
    """Would catch: two outcomes on other data, by other code or of ages called a contradiction; a
    partition that is named once for each kind of sameness."""
    with store.write(None) as tx:
        run(tx)
        for number, content in ((1, "same"), (2, "same"), (3, "other")):
            delivery(tx, number, sha256=content)
        n = 0

        def outcomes(
            node: str,
            key: str,
            *pairs: tuple[str, int, str],
            kind: str = "produce",
            check_kind: str,
        ) -> None:
            """Attempts by (outcome, version, what they read)."""
            nonlocal n
            for outcome, version, read in pairs:
                n += 1
                taken_in = kind == "take_in"
                attempt(
                    tx,
                    n,
                    node,
                    [key],
                    kind=kind,
                    version=version,
                    snapshot=0 if taken_in else int(read),
                    delivery=int(read) if taken_in else None,
                )
                check(tx, n, node, key, outcome=outcome, kind=check_kind)

        unique = {"check_kind": "unique"}
        outcomes("a", "flips", ("passed", 1, "5"), ("failed", 1, "5"), **unique)
        outcomes("a", "again", ("passed", 1, "5"), ("failed", 1, "5"), **unique)
        outcomes("a", "other code", ("passed", 1, "5"), ("failed", 2, "5"), **unique)
        outcomes("a", "other input", ("passed", 1, "5"), ("failed", 1, "6"), **unique)
        outcomes("a", "the same", ("failed", 1, "5"), ("failed", 1, "5"), **unique)
        outcomes("a", "unchecked", ("passed", 1, "5"), ("unchecked", 1, "5"), **unique)
        outcomes("a", "ages", ("passed", 1, "5"), ("failed", 1, "5"), check_kind="freshness")
        outcomes("s", "bytes", ("passed", 1, "1"), ("failed", 1, "2"), kind="take_in", **unique)
        outcomes("s", "others", ("passed", 1, "1"), ("failed", 1, "3"), kind="take_in", **unique)
        outcomes("b", "content", ("passed", 1, "5"), ("failed", 1, "6"), **unique)
        for number in (n - 1, n):
            published(tx, number, "b", "content", content_hash="equal")
        assert check_outcomes.check_flips(tx) == {
            ("a", "unique"): ["again", "flips"],
            ("b", "unique"): ["content"],
            ("s", "unique"): ["bytes"],
        }
