"""Evidence: while it is active, which incident it is attributed to, and how it grows old."""

from __future__ import annotations

import msgspec
from stored_rows import insert

from headrace.store import Store, Transaction
from headrace.store.queries import evidence
from headrace.store.queries.evidence import StoredEvidence


def _row(
    id_: str,
    at: int = 10,
    *,
    node: str = "orders",
    partition: str = "1",
    incident: int | None = None,
    attempt: str | None = None,
    held: bool = False,
    ended: int | None = None,
) -> StoredEvidence:
    """Evidence whose content is its id."""
    return StoredEvidence(id_, node, partition, incident, attempt, held, id_.encode(), at, ended)


def _incidents(tx: Transaction) -> None:
    for number in (1, 2):
        insert(
            tx,
            "incident",
            id=number,
            state="open",
            kind="late_source",
            node="orders",
            fingerprint="",
            owner="",
            summary="",
            confidence="1",
            evidence="[]",
            affected="{}",
            began_at=1,
            opened_at=1,
            updated_at=1,
        )


def _stored(store: Store, *rows: StoredEvidence) -> None:
    with store.write(None) as tx:
        _incidents(tx)
        evidence.keep(tx, rows)


def _active_ids(tx: Transaction) -> list[str]:
    return [row.id for row in evidence.active(tx, 99)]


def test_evidence_is_read_as_it_was_stored(store: Store) -> None:
    """A column in the place of its neighbour; ended evidence that still counts."""
    full = StoredEvidence("fact:1", "orders", "2", 1, "3.4", True, b"\0c", 50, None)
    plain = StoredEvidence("fact:2", "daily", "5", None, None, False, b"", 60)
    _stored(store, full, plain, _row("fact:3", 60), _row("fact:4", 90, ended=91))
    with store.read() as tx:
        assert evidence.active(tx, 3) == [plain, _row("fact:3", 60), full]
        assert evidence.active(tx, 2) == [plain, _row("fact:3", 60)]
        assert evidence.active_nodes(tx) == {"orders", "daily"}
        assert evidence.attempt_of(tx, "fact:1") == "3.4"
        assert evidence.attempt_of(tx, "fact:2") is None
        assert evidence.attempt_of(tx, "fact:9") is None
        assert evidence.known(tx, ["fact:1", "fact:4", "fact:9"]) == {"fact:1", "fact:4"}


def test_known_evidence_is_updated_and_active_again(store: Store) -> None:
    """Evidence that is seen again as if for the first time, or that loses its incident."""
    before = _row("fact:1", 50, incident=1, attempt="1.1", ended=60)
    _stored(store, before, _row("fact:2"))
    with store.write(None) as tx:
        again = StoredEvidence("fact:1", "orders", "1", 2, "2.2", True, b"later", 70, None)
        evidence.keep(tx, [again])
        expected = msgspec.structs.replace(before, held=True, content=b"later", ended_at=None)
        assert evidence.active(tx, 1) == [expected]


def test_evidence_ends_once(store: Store) -> None:
    """The end of evidence that moves each time the leader looks at it."""
    _stored(store, _row("fact:1", incident=1), _row("fact:2"), _row("fact:3", incident=1, ended=30))
    with store.write(None) as tx:
        evidence.end(tx, ["fact:1", "fact:3", "fact:9"], 40)
        assert _active_ids(tx) == ["fact:2"]
        assert evidence.contents_since(tx, 1, 35) == [b"fact:1"]


def test_warnings_grow_old(store: Store) -> None:
    """Held data that nobody is told of any more; a new version forgotten as soon as a warning."""
    _stored(
        store,
        _row("fact:1", 89),
        _row("fact:2", 90),
        _row("fact:3", 1, held=True),
        _row("version:1", 70),
        _row("version:2", 69),
        _row("versiom:1", 70),
        _row("versions:1", 70),
    )
    with store.write(None) as tx:
        evidence.grow_old(tx, 100, warned=10, changed=30, retained=50)
        assert _active_ids(tx) == ["fact:2", "version:1", "fact:3"]
        ended = tx.execute("select distinct ended_at from evidence where ended_at is not null")
        assert [at for (at,) in ended] == [100]


def test_old_evidence_is_deleted_unless_an_incident_has_it(store: Store) -> None:
    _stored(
        store,
        _row("fact:1", 1, ended=49),
        _row("fact:2", 1, ended=50),
        _row("fact:3", 1, ended=49, incident=1),
        _row("fact:4", 1, held=True),
    )
    with store.write(None) as tx:
        evidence.grow_old(tx, 100, warned=10, changed=30, retained=50)
        ids = [f"fact:{number}" for number in range(1, 5)]
        assert evidence.known(tx, ids) == set(ids[1:])


# Evidence of incidents


def test_an_incident_is_active_while_its_data_is_held(store: Store) -> None:
    """An incident that stays open for a mere warning, or that closes while data is held."""
    _stored(
        store,
        _row("fact:1", 20, incident=1, held=True, ended=25),
        _row("fact:2", 30, incident=1),
        _row("fact:3", 40, incident=1),
        _row("fact:4", 50, incident=1, ended=55),
        _row("fact:5", 60, incident=2, held=True),
    )
    with store.read() as tx:
        assert not evidence.is_active(tx, 1)
        assert evidence.is_active(tx, 2)
        assert not evidence.is_active(tx, 3)
        assert evidence.warned_last(tx, 1) == 40
        assert evidence.warned_last(tx, 2) is None
        assert evidence.of_incident(tx, 1) == {f"fact:{n}": False for n in (1, 2, 3, 4)}
        assert evidence.of_incident(tx, 2) == {"fact:5": True}


def test_an_incident_of_warnings_never_held_data(store: Store) -> None:
    """An incident that held data until yesterday, shown as one of warnings only."""
    _stored(
        store,
        _row("fact:1", incident=1),
        _row("fact:2", incident=1, ended=20),
        _row("fact:3", incident=2),
        _row("fact:4", incident=2, held=True, ended=20),
    )
    with store.read() as tx:
        assert evidence.only_warned(tx, 1)
        assert not evidence.only_warned(tx, 2)
        assert not evidence.only_warned(tx, 3)


def test_evidence_is_attributed_to_incidents(store: Store) -> None:
    _stored(store, _row("fact:1", incident=1), _row("fact:2"), _row("fact:3"), _row("fact:4"))
    with store.write(None) as tx:
        ids = ["fact:1", "fact:2", "fact:3", "fact:9"]
        assert evidence.put_down_to(tx, ids) == {1}
        evidence.put_down(tx, 2, ["fact:2", "fact:9"])
        assert evidence.put_down_to(tx, ids) == {1, 2}
        assert evidence.put_down_to(tx, ["fact:3", "fact:9"]) == set()
        assert evidence.put_down_to(tx, []) == set()


def test_the_incident_that_held_an_attempt(store: Store) -> None:
    """The incident of another attempt, or of a warning, named for held data."""
    _stored(
        store,
        _row("fact:1", incident=1, attempt="1.1", held=True, ended=20),
        _row("fact:2", incident=2, attempt="1.1"),
        _row("fact:3", incident=2, attempt="1.2", held=True),
        _row("fact:4", incident=2, attempt="1.1", held=True, partition="2"),
        _row("fact:5", incident=2, attempt="1.1", held=True, node="daily"),
        _row("fact:6", incident=1, attempt="1.2", held=True),
        _row("fact:7", attempt="1.3", held=True),
    )
    with store.read() as tx:
        assert evidence.incident_held_for(tx, "orders", "1", "1.1") == 1
        assert evidence.incident_held_for(tx, "orders", "1", "1.2") == 2
        assert evidence.incident_held_for(tx, "orders", "1", "1.3") is None
        assert evidence.incident_held_for(tx, "orders", "1", "1.4") is None
        assert evidence.held_contents(tx, "orders", "1", "1.1") == [b"fact:1"]
        assert evidence.held_contents(tx, "orders", "1", "1.2") == [b"fact:3", b"fact:6"]


def test_evidence_of_an_incident_since_a_time(store: Store) -> None:
    """Evidence that ended exactly then, or that was seen exactly then."""
    _stored(
        store,
        _row("fact:1", 10, incident=1, ended=30),
        _row("fact:2", 10, incident=1, ended=31),
        _row("fact:3", 10, incident=1),
        _row("fact:4", 30, incident=1, ended=30),
        _row("fact:5", 29, incident=1, ended=30),
        _row("fact:6", 40, incident=2),
    )
    with store.read() as tx:
        assert evidence.contents_since(tx, 1, 30) == [b"fact:2", b"fact:3", b"fact:4"]


# Evidence of places and kinds


def test_active_evidence_of_a_place(store: Store) -> None:
    _stored(
        store,
        _row("fact:1", attempt="1.1", held=True),
        _row("fact:2"),
        _row("fact:3", ended=20),
        _row("fact:4", partition="2"),
        _row("fact:5", node="daily"),
        _row("fact:6", node="ended", ended=20),
    )
    with store.read() as tx:
        assert sorted(evidence.active_at(tx, "orders", "1")) == [
            ("fact:1", "1.1", True),
            ("fact:2", None, False),
        ]
        assert sorted(evidence.contents_at(tx, "orders", "1")) == [
            ("fact:1", b"fact:1"),
            ("fact:2", b"fact:2"),
        ]
        assert sorted(evidence.active_ids(tx, "orders")) == ["fact:1", "fact:2", "fact:4"]
        assert sorted(evidence.active_contents(tx, "orders")) == [b"fact:1", b"fact:2", b"fact:4"]
        assert evidence.active_nodes(tx) == {"orders", "daily"}


def test_evidence_of_a_kind(store: Store) -> None:
    """A kind whose name another begins with."""
    _stored(
        store,
        _row("gap:2", node="src"),
        _row("gap:1", ended=20),
        _row("gapless:1"),
        _row("lapsed:7:0", incident=1, partition="2"),
        _row("lapsed:7:1", incident=1, partition="2"),
        _row("lapsed:8:0", incident=1, node="daily"),
        _row("lapsed:9:0", incident=1, partition="3", ended=20),
        _row("lapsed:6:0", incident=2, partition="4"),
        _row("fact:1", incident=1, partition="5"),
    )
    with store.read() as tx:
        assert evidence.contents_of(tx, evidence.GAP) == [b"gap:1", b"gap:2"]
        assert evidence.active_of(tx, evidence.GAP) == {"gap:2": ("src", b"gap:2")}
        assert evidence.active_of(tx, "never") == {}
        assert evidence.excepted_of(tx, 1, evidence.LAPSED) == [("daily", "1"), ("orders", "2")]


def test_the_position_of_the_last_gathering_is_replaced(store: Store) -> None:
    with store.write(None) as tx:
        assert evidence.cursors(tx) is None
        evidence.set_cursors(tx, 10, '{"facts": 1}')
        evidence.set_cursors(tx, 20, '{"facts": 2}')
        assert evidence.cursors(tx) == (20, '{"facts": 2}')
