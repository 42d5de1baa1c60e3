"""Values that texts of the state quote."""

from __future__ import annotations

import msgspec
import pytest
from written_rows import check

from headrace.model.texts import BEGIN, marked
from headrace.store import Store, Transaction
from headrace.store.portable import columns_by_table
from headrace.store.queries import quoted_values

SAID = f"city: 1 row not in Rome ({marked('Oslo')})"
HIDDEN = "city: 1 row not in Rome (…)"


def _incident(tx: Transaction, number: int, node: str) -> None:
    evidence = msgspec.json.encode([{"what": SAID}, {"what": f"cut {BEGIN}Os"}]).decode()
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, updated_at) values (?, 'open', 'k', ?, '', 'o',"
        " ?, '1', ?, '{}', 1, 1, 1)",
        (number, node, SAID, evidence),
    )
    tx.execute(
        "insert into incident_event (incident_id, at, what, actor) values (?, 1, ?, '')",
        (number, SAID),
    )


def _texts(tx: Transaction, sql: str) -> list[str]:
    return [row[0] for row in tx.execute(sql).fetchall()]


def test_quotes_are_hidden_but_those_about_other_nodes(store: Store) -> None:
    """Catches: a text of a removed node or of an incident that a hidden node is part of, a value
    that was cut, JSON that is none any more, and texts about another node that lose theirs."""
    content = msgspec.msgpack.encode(["held", SAID, {"at": 1}])
    with store.write(None) as tx:
        for number, node in enumerate(("people", "removed", "shops"), 1):
            check(tx, number, node, detail=SAID)
            _incident(tx, number, node)
        _incident(tx, 4, "shops")
        for id_, node, incident in (("a", "people", 4), ("b", "shops", 3)):
            tx.execute(
                "insert into evidence (id, node, partition, incident_id, attempt, held, content,"
                " at) values (?, ?, '', ?, '', 0, ?, 1)",
                (id_, node, incident, content),
            )
        quoted_values.hide(tx, ["shops", "other"])
        details = _texts(tx, "select detail from check_result order by n")
        assert details == [HIDDEN, HIDDEN, SAID]
        for column, table in (("summary", "incident"), ("what", "incident_event")):
            texts = _texts(tx, f"select {column} from {table} order by id")
            assert texts == [HIDDEN, HIDDEN, SAID, HIDDEN]
        evidence = msgspec.json.decode(_texts(tx, "select evidence from incident order by id")[0])
        assert evidence == [{"what": HIDDEN}, {"what": "cut …"}]
        hidden, kept = _texts(tx, "select content from evidence order by id")
        assert msgspec.msgpack.decode(bytes(hidden)) == ["held", HIDDEN, {"at": 1}]
        assert bytes(kept) == content


@pytest.mark.parametrize("table", {**quoted_values.TEXTS, **quoted_values.ENCODED})
def test_its_columns_exist(store: Store, table: str) -> None:
    """Catches: a table that was renamed, or another key, in a column that is seldom asked for."""
    node, key, columns = (quoted_values.TEXTS | quoted_values.ENCODED)[table]
    with store.read() as tx:
        known = columns_by_table(tx)[table]
    assert {*key, *columns, *([node] if node else [])} <= known.keys()
