"""What a check says of values can be taken out for who may not read rows."""

from __future__ import annotations

import re

from quality_bench import NOW_US, Bench, check

from headrace.checks import CheckState
from headrace.model.texts import MARKS, hidden, plain


def test_no_check_says_a_value_that_stays(bench: Bench) -> None:
    """Would catch: `newest is 2004-05-06` for somebody who may see that a check failed, but no
    rows; a kind of check whose words quote values in another way than the others.
    """
    staged = bench.stage(
        "SELECT 'Oslo4711' AS town, 4711.5 AS price, DATE '2004-05-06' AS born, DATE 'infinity' AS ends"
        " FROM range(2)"
    )
    result = bench.audit(
        staged,
        check("freshness", column="born", max_age="2d"),
        check("freshness", column="ends", max_age="2d"),
        check("range", column="price", max=5),
        check("accepted_values", column="town", values=["Bergen"]),
        check("regex", column="town", pattern="[A-Z]{3}"),
        check("unique", columns=["town"]),
        check("sql", name="known", query="select * from $self"),
        partition_check=None,
        now_us=NOW_US,
    )
    said = [row.detail for row in result.results]
    assert all(row.outcome is CheckState.FAILED for row in result.results), said
    assert any("4711" in text for text in said) and any("2004" in text for text in said)
    assert not re.search("4711|2004|years|Oslo|infinity", " ".join(map(hidden, said))), said
    assert any("(…)" in hidden(text) for text in said) and not any(
        set(MARKS) & set(plain(text)) for text in said
    )
