"""Incidents: one cause each, with its evidence, its symptoms and its timeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.queries.exceptions import SAME_ROWS
from headrace.store.transaction import Transaction

_COLUMNS = (
    "id, state, kind, detail, node, partition, columns, fingerprint, owner, summary, confidence, evidence, affected, began_at,"
    " opened_at, restored_at, resolved_at, updated_at, recurrence_of, opened_in"
)
HELD_MAX = 500
"""So many incidents are listed at most."""
EVIDENCE_MAX = 40
"""So much of its evidence, the strongest, an incident keeps in words."""


class IncidentEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One piece of evidence as an incident keeps it: names and figures. `at` is in microseconds."""

    what: str
    expected: str = ""
    observed: str = ""
    at: int
    id: str


class Affected(msgspec.Struct, frozen=True, gc=False):
    """What a cause holds back, or makes wrong: `partitions` are the cause's own."""

    assets: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()


class Incident(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One cause. Times are microseconds of the store's clock."""

    id: int
    state: str
    kind: str
    detail: str
    node: str
    partition: str
    columns: tuple[str, ...]
    fingerprint: str
    owner: str
    summary: str
    confidence: float
    evidence: tuple[IncidentEvidence, ...]
    affected: Affected
    began_at: int
    opened_at: int
    restored_at: int | None = None
    resolved_at: int | None = None
    updated_at: int
    recurrence_of: int | None = None
    opened_in: int | None = None

    @property
    def shown(self) -> str:
        """Its id for people: `INC-1`."""
        return display_id(self.id)


class Happened(msgspec.Struct, frozen=True, gc=False):
    """One line of an incident's timeline. `act` names an act of repair, so that limits can count it."""

    at: int
    what: str
    actor: str
    act: str | None = None


class Symptom(msgspec.Struct, frozen=True, gc=False):
    """What a cause brought about elsewhere."""

    node: str
    partition: str
    what: str
    at: int


def display_id(number: int) -> str:
    """An incident's id for people."""
    return f"INC-{number}"


# What is asked ---------------------------------------------------------------------------------------------------------


def open_incidents(tx: Transaction) -> list[Incident]:
    """The incidents that aren't resolved, oldest first."""
    return _all(tx.execute(f"select {_COLUMNS} from incident where state <> 'resolved' order by id"))


def resolved_since(tx: Transaction, at: int, limit: int = HELD_MAX) -> list[Incident]:
    """The incidents that ended after a time, the newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident where state = 'resolved' and resolved_at > :at order by resolved_at desc limit :limit",
            {"at": at, "limit": limit},
        )
    )


def newest(tx: Transaction, limit: int = HELD_MAX) -> list[Incident]:
    """All incidents, newest first."""
    return _all(tx.execute(f"select {_COLUMNS} from incident order by id desc limit :limit", {"limit": limit}))


def get(tx: Transaction, number: int) -> Incident | None:
    """One incident, or None."""
    incidents = _all(tx.execute(f"select {_COLUMNS} from incident where id = :id", {"id": number}))
    return incidents[0] if incidents else None


def same_before(tx: Transaction, fingerprint: str) -> Incident | None:
    """The newest resolved incident of a fingerprint."""
    incidents = _all(
        tx.execute(
            f"select {_COLUMNS} from incident where fingerprint = :fingerprint and state = 'resolved' order by id desc limit 1",
            {"fingerprint": fingerprint},
        )
    )
    return incidents[0] if incidents else None


def resolved_at_node(tx: Transaction, node: str, limit: int) -> list[Incident]:
    """The resolved incidents of a node, newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident where node = :node and state = 'resolved' order by id desc limit :limit",
            {"node": node, "limit": limit},
        )
    )


def found_in(tx: Transaction, run: int) -> list[int]:
    """The incidents that were found, or opened again, at the end of a run."""
    rows = tx.execute("select id from incident where opened_in = :run order by id", {"run": run})
    return [int(row[0]) for row in rows]


def count_open(tx: Transaction) -> int:
    """How many incidents aren't resolved."""
    return int(tx.execute("select count(*) from incident where state <> 'resolved'").fetchone()[0])


def count(tx: Transaction) -> int:
    """How many incidents there have been."""
    return int(tx.execute("select count(*) from incident").fetchone()[0])


def of_evidence(tx: Transaction, evidence: str) -> int | None:
    """The incident that a piece of evidence is put down to."""
    row = tx.execute("select incident_id from evidence where id = :id", {"id": evidence}).fetchone()
    return None if row is None else row[0]


def partitions_of(tx: Transaction, number: int) -> list[tuple[str, str]]:
    """(node, partition) where the cause itself is seen, in order."""
    rows = tx.execute("select node, partition from incident_partition where incident_id = :id order by node, partition", {"id": number})
    return [(node, partition) for node, partition in rows]


def nodes_of(tx: Transaction, number: int) -> list[str]:
    """The nodes at which the cause itself is seen."""
    return [node for (node,) in tx.execute("select distinct node from incident_partition where incident_id = ? order by node", (number,))]


def symptoms_of(tx: Transaction, number: int, limit: int = HELD_MAX) -> list[Symptom]:
    """What a cause brought about elsewhere, oldest first."""
    rows = tx.execute(
        "select node, partition, what, at from symptom where incident_id = :id order by at, node, partition limit :limit",
        {"id": number, "limit": limit},
    )
    return [Symptom(*row) for row in rows]


def timeline_of(tx: Transaction, number: int, limit: int = HELD_MAX) -> list[Happened]:
    """What happened, oldest first."""
    rows = tx.execute(
        "select at, what, actor, act from incident_event where incident_id = :id order by at, id limit :limit",
        {"id": number, "limit": limit},
    )
    return [Happened(*row) for row in rows]


def acted(tx: Transaction, number: int, act: str) -> bool:
    """Whether this was done about an incident already."""
    row = tx.execute("select 1 from incident_event where incident_id = :id and act = :act limit 1", {"id": number, "act": act}).fetchone()
    return row is not None


def open_kinds_at(tx: Transaction, node: str, partition: str, besides: str) -> set[str]:
    """The kinds of the open incidents of which something was seen in the data of a partition or of the whole node, but for what was seen
    in the delivery that an attempt (`besides`) read, by whichever attempt at it."""
    rows = tx.execute(
        "select i.kind, e.attempt from evidence e join incident i on i.id = e.incident_id where e.node = :node"
        " and e.partition in (:partition, '') and i.state <> 'resolved' and e.attempt is not null",
        {"node": node, "partition": partition},
    ).fetchall()
    delivery = _delivery_of(tx, besides)
    return {str(kind) for kind, attempt in rows if delivery is None or _delivery_of(tx, attempt) != delivery}


def _delivery_of(tx: Transaction, attempt: str) -> int | None:
    epoch, _, n = attempt.partition(".")
    row = tx.execute("select delivery_id from attempt where epoch = ? and n = ?", (int(epoch), int(n))).fetchone()
    return None if row is None else row[0]


_SEEN_AT = (
    "select incident_id from incident_partition where node = :node and partition in ({keys})"
    " union select incident_id from evidence where node = :node and partition in ({keys})"
    " and ended_at is null and incident_id is not null"
)


def open_at(tx: Transaction, node: str, partition: str) -> Incident | None:
    """The oldest open incident whose evidence or symptoms stand at a partition, before those that
    are of the whole node; one whose cause is gone only where there is no other."""
    seen, exactly = _SEEN_AT.format(keys=":partition, ''"), _SEEN_AT.format(keys=":partition")
    incidents = _all(
        tx.execute(
            f"select {_COLUMNS} from incident where state <> 'resolved' and id in ({seen})"
            " order by case when state = 'recovering' then 1 else 0 end,"
            f" case when id in ({exactly}) then 0 else 1 end, id limit 1",
            {"node": node, "partition": partition},
        )
    )
    return incidents[0] if incidents else None


def users_of_column(tx: Transaction, node: str, partition: str, column: str) -> tuple[str, ...] | None:
    """The consumers that the newest incident about a column of a partition affects; None where there was none."""
    if not column:
        return None
    seen = "select incident_id from incident_partition where node = :node and partition = :partition"
    sql = f"select {_COLUMNS} from incident where node = :node and id in ({seen}) order by id desc"
    incidents = _all(tx.execute(sql, {"node": node, "partition": partition}))
    return next((incident.affected.consumers for incident in incidents if column in incident.columns), None)


def _all(rows: Iterable[tuple[Any, ...]]) -> list[Incident]:
    return [_incident(row) for row in rows]


def _incident(row: tuple[Any, ...]) -> Incident:
    values = dict(zip(Incident.__struct_fields__, row, strict=True))
    values["columns"] = tuple(msgspec.json.decode(values["columns"]))
    values["confidence"] = float(values["confidence"])
    values["evidence"] = msgspec.json.decode(values["evidence"], type=tuple[IncidentEvidence, ...])
    values["affected"] = msgspec.json.decode(values["affected"], type=Affected)
    return Incident(**values)


def still_read(tx: Transaction, number: int) -> bool:
    """Whether readers still see a publication that an incident names as wrong, or the same rows published again."""
    row = tx.execute(
        SAME_ROWS.format(which="u.incident_id = :id")
        + "select 1 from wrong u join publication p on p.id = u.publication_id where u.until_at is null"
        " and p.ended_snapshot is null limit 1",
        {"id": number},
    ).fetchone()
    return row is not None


def wrong_is_read(tx: Transaction) -> bool:
    """Whether readers still see any publication that an open incident names as wrong, or the same rows published again."""
    row = tx.execute(
        SAME_ROWS.format(which="i.state <> 'resolved'") + "select 1 from wrong u join publication p on p.id = u.publication_id"
        " where u.until_at is null and p.ended_snapshot is null limit 1"
    ).fetchone()
    return row is not None


def wrong_keys(tx: Transaction, number: int) -> list[tuple[str, str]]:
    """(node, partition) of what an incident names as wrong, or the same rows published again, and readers still see; in order."""
    rows = tx.execute(
        SAME_ROWS.format(which="u.incident_id = :id")
        + "select distinct p.node, p.partition from wrong u join publication p on p.id = u.publication_id where u.until_at is null"
        " and p.ended_snapshot is null order by 1, 2",
        {"id": number},
    )
    return [(node, partition) for node, partition in rows]


def read_again(tx: Transaction, since: int) -> list[Incident]:
    """The incidents that were resolved since then, and whose wrong rows readers see again."""
    names = ", ".join(f"i.{name.strip()}" for name in _COLUMNS.split(","))
    return _all(
        tx.execute(
            SAME_ROWS.format(which="i.resolved_at > :since and i.state = 'resolved'")
            + f"select {names} from incident i where i.id in (select w.incident_id from wrong w"
            " join publication p on p.id = w.publication_id where w.until_at is null and p.ended_snapshot is null) order by i.id",
            {"since": since},
        )
    )


def publications_of(tx: Transaction, evidence: Iterable[str]) -> list[int]:
    """The publications that pieces of evidence are of, whether readers still see them or not, but for those that somebody accepted as
    they are."""
    results = []
    for item in evidence:
        row = tx.execute("select attempt, node, partition from evidence where id = ?", (item,)).fetchone()
        if row is None or row[0] is None:
            continue
        epoch, _, n = row[0].partition(".")
        known = tx.execute(
            "select id from publication where epoch = ? and n = ? and node = ? and partition = ?"
            " and id not in (select publication_id from accepted where publication_id is not null and ended_at is null)",
            (int(epoch), int(n), row[1], row[2] or "*"),
        ).fetchone()
        results += [] if known is None else [int(known[0])]
    return results


def as_reported(tx: Transaction, incident: Incident, at: int) -> Incident:
    """An incident as it was said to be at a time: its kind, node, summary and partitions. As it is now
    where what was said then isn't kept."""
    row = tx.execute(
        "select kind, node, summary from incident_said where incident_id = ? and at <= ? order by at desc limit 1",
        (incident.id, at),
    ).fetchone()
    if row is None:
        return incident
    kind, node, summary = row
    seen = {key for (key,) in tx.execute("select partition from incident_partition where incident_id = ? and at <= ?", (incident.id, at))}
    affected = msgspec.structs.replace(incident.affected, partitions=tuple(key for key in incident.affected.partitions if key in seen))
    return msgspec.structs.replace(incident, kind=kind, node=node, summary=summary, affected=affected)


# What is written -------------------------------------------------------------------------------------------------------


def next_id(tx: Transaction) -> int:
    """The number of the next incident."""
    return int(tx.execute("select coalesce(max(id), 0) + 1 from incident").fetchone()[0])


def write(tx: Transaction, incident: Incident) -> None:
    """Keep an incident as it is now."""
    values = msgspec.structs.asdict(incident) | {
        "columns": _json(incident.columns), "confidence": f"{incident.confidence:.3f}", "evidence": _json(incident.evidence),
        "affected": _json(incident.affected),
    }  # fmt: skip
    names = Incident.__struct_fields__
    given = ", ".join(f":{name}" for name in names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
    tx.execute(
        f"insert into incident ({', '.join(names)}) values ({given}) on conflict (id) do update set {changed}",
        values,
    )
    _say(tx, incident)


def _say(tx: Transaction, incident: Incident) -> None:
    """Keep what is said of an incident now, where that is another than before."""
    said = (incident.kind, incident.node, incident.summary)
    row = tx.execute(
        "select kind, node, summary from incident_said where incident_id = ? order by at desc limit 1", (incident.id,)
    ).fetchone()
    if row is None or tuple(row) != said:
        tx.execute(
            "insert into incident_said (incident_id, at, kind, node, summary) values (?, ?, ?, ?, ?)"
            " on conflict (incident_id, at) do update set kind = excluded.kind, node = excluded.node, summary = excluded.summary",
            (incident.id, incident.updated_at, *said),
        )


def happened(tx: Transaction, number: int, what: Iterable[Happened]) -> None:
    """Go on with an incident's timeline."""
    tx.executemany(
        "insert into incident_event (incident_id, at, what, actor, act) values (?, ?, ?, ?, ?)",
        [(number, item.at, item.what, item.actor, item.act) for item in what],
    )


def seen_at(tx: Transaction, number: int, places: Iterable[tuple[str, str]], at: int) -> None:
    """Where a cause itself is seen."""
    tx.executemany(
        "insert into incident_partition (incident_id, node, partition, at) values (?, ?, ?, ?) on conflict do nothing",
        [(number, node, partition, at) for node, partition in places],
    )


def attach(tx: Transaction, number: int, symptoms: Iterable[Symptom]) -> None:
    """What a cause brought about elsewhere."""
    tx.executemany(
        "insert into symptom (incident_id, node, partition, what, at) values (?, ?, ?, ?, ?) on conflict do nothing",
        [(number, symptom.node, symptom.partition, symptom.what, symptom.at) for symptom in symptoms],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def sound_again(tx: Transaction, number: int, now: int) -> None:
    """What an incident named can be read as it was published again."""
    tx.execute("update unsound set until_at = ? where incident_id = ? and until_at is null", (now, number))


def name_wrong(tx: Transaction, number: int, publications: Iterable[int], columns: Iterable[str], now: int) -> None:
    """An incident makes these publications wrong, as known from now on; no columns: all of them."""
    text = _json(list(columns))
    tx.executemany(
        "insert into unsound (incident_id, publication_id, columns, known_at) values (?, ?, ?, ?)"
        " on conflict (incident_id, publication_id) do update set until_at = null,"
        " known_at = case when unsound.until_at is null then unsound.known_at else excluded.known_at end",
        [(number, publication, text, now) for publication in publications],
    )
