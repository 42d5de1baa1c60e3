"""Incidents: one cause each, with its evidence, its symptoms and its timeline."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec

from headrace.store.queries import incident_handling
from headrace.store.queries.exceptions import SAME_ROWS
from headrace.store.queries.ingestion import delivery_of_attempt
from headrace.store.transaction import Transaction, json_list

_COLUMNS = (
    "id, state, kind, detail, node, partition, columns, fingerprint, owner, summary, confidence,"
    " evidence, affected, began_at, opened_at, restored_at, resolved_at, updated_at, recurrence_of,"
    " opened_in"
)
HELD_MAX = 500
"""At most this number of incidents is listed."""
REOPENED = "opened again: "
BEGINS = ("opened: ", REOPENED)
"""Prefixes of the lines of a timeline that open an incident."""
RESOLVED = "resolved: "
"""Prefix of the line that ends an incident."""
NOTE = "note: "
"""Prefix of the line of a person's note."""
EVIDENCE_MAX = 40
"""At most this number of pieces of evidence, the strongest, is stored as text in an incident."""


class IncidentEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A piece of evidence as stored in an incident: names and figures. `at` is in microseconds."""

    what: str
    expected: str = ""
    observed: str = ""
    at: int
    id: str


class Affected(msgspec.Struct, frozen=True, gc=False):
    """Data that a cause delays or makes wrong. `partitions` are the cause's own."""

    assets: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()


class Incident(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One incident, with one cause. Times are microseconds of the store's clock."""

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
    def label(self) -> str:
        """Its id for display: `INC-1`."""
        return display_id(self.id)


class Happened(msgspec.Struct, frozen=True, gc=False):
    """One line of an incident's timeline. `act` names a repair action, for limits that count it."""

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
    """Return an incident's id for display, such as `INC-1`."""
    return f"INC-{number}"


# Queries.

_IS_STATE_CHANGE = " or ".join(f"what like '{prefix}%'" for prefix in (*BEGINS, RESOLVED))


def open_incidents(tx: Transaction) -> list[Incident]:
    """Return the unresolved incidents, oldest first."""
    return _all(
        tx.execute(f"select {_COLUMNS} from incident where state <> 'resolved' order by id")
    )


def resolved_since(tx: Transaction, at: int, limit: int = HELD_MAX) -> list[Incident]:
    """Return the incidents that were resolved after a time, newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident where state = 'resolved' and resolved_at > :at order"
            " by resolved_at desc limit :limit",
            {"at": at, "limit": limit},
        )
    )


def newest(tx: Transaction, limit: int = HELD_MAX) -> list[Incident]:
    """Return the newest incidents, newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident order by id desc limit :limit", {"limit": limit}
        )
    )


def get(tx: Transaction, number: int) -> Incident | None:
    """Return one incident, or None."""
    incidents = _all(tx.execute(f"select {_COLUMNS} from incident where id = :id", {"id": number}))
    return incidents[0] if incidents else None


def same_before(tx: Transaction, fingerprint: str) -> Incident | None:
    """Return the newest resolved incident with a fingerprint, or None."""
    incidents = _all(
        tx.execute(
            f"select {_COLUMNS} from incident where fingerprint = :fingerprint and state ="
            " 'resolved' order by id desc limit 1",
            {"fingerprint": fingerprint},
        )
    )
    return incidents[0] if incidents else None


def resolved_at_node(tx: Transaction, node: str, limit: int) -> list[Incident]:
    """Return the resolved incidents of a node, newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident where node = :node and state = 'resolved' order by id"
            " desc limit :limit",
            {"node": node, "limit": limit},
        )
    )


def began_at_node(tx: Transaction, node: str, from_us: int, until_us: int) -> list[Incident]:
    """Return a node's newest incidents whose earliest evidence is in a span, newest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from incident where node = :node and began_at > :since and began_at"
            " <= :until order by id desc limit :limit",
            {"node": node, "since": from_us, "until": until_us, "limit": HELD_MAX},
        )
    )


def naming(tx: Transaction, node: str) -> list[Incident]:
    """Return all incidents whose cause is at a node, or that affect it as an asset."""
    rows = tx.execute(
        f"select {_COLUMNS} from incident where node = :node or affected like :pattern order by id",
        {"node": node, "pattern": f"%{_json(node)}%"},
    )
    return [
        incident
        for incident in _all(rows)  # `_` of the pattern is any character
        if node == incident.node or node in incident.affected.assets
    ]


def found_in(tx: Transaction, run: int) -> list[int]:
    """Return the incidents that were opened or reopened at the end of a run."""
    rows = tx.execute("select id from incident where opened_in = :run order by id", {"run": run})
    return [int(row[0]) for row in rows]


def count_open(tx: Transaction) -> int:
    """Return the number of unresolved incidents."""
    return int(tx.execute("select count(*) from incident where state <> 'resolved'").fetchone()[0])


def count(tx: Transaction) -> int:
    """Return the number of all incidents."""
    return int(tx.execute("select count(*) from incident").fetchone()[0])


def of_evidence(tx: Transaction, evidence: str) -> int | None:
    """Return the incident that a piece of evidence is attributed to, or None."""
    row = tx.execute("select incident_id from evidence where id = :id", {"id": evidence}).fetchone()
    return None if row is None else row[0]


def partitions_of(tx: Transaction, number: int) -> list[tuple[str, str]]:
    """Return (node, partition) of the cause itself, in order."""
    rows = tx.execute(
        "select node, partition from incident_partition where incident_id = :id order by node,"
        " partition",
        {"id": number},
    )
    return [(node, partition) for node, partition in rows]


def nodes_of(tx: Transaction, numbers: Iterable[int]) -> dict[int, set[str]]:
    """Return the nodes of the causes themselves, by incident."""
    nodes: dict[int, set[str]] = {number: set() for number in numbers}
    for number, node in tx.execute(
        "select distinct incident_id, node from incident_partition where incident_id in (select"
        " cast(value as bigint) from json_each(?))",
        (json_list(nodes),),
    ):
        nodes[number].add(node)
    return nodes


def symptoms_of(tx: Transaction, number: int, limit: int = HELD_MAX) -> list[Symptom]:
    """Return the symptoms of an incident, oldest first."""
    rows = tx.execute(
        "select node, partition, what, at from symptom where incident_id = :id order by at, node,"
        " partition limit :limit",
        {"id": number, "limit": limit},
    )
    return [Symptom(*row) for row in rows]


def timeline_of(tx: Transaction, number: int, limit: int = HELD_MAX) -> list[Happened]:
    """Return the timeline of an incident, oldest first.

    It has every line that opens or ends the incident, the newest `limit` lines of its handling and
    notes, and the newest `limit` of the others.
    """
    group = (
        f"case when {_IS_STATE_CHANGE} then 0"
        f" when {incident_handling.IS_HANDLING} or what like '{NOTE}%' then 1 else 2 end"
    )
    rows = tx.execute(
        "select at, what, actor, act from (select id, at, what, actor, act, line_group,"
        " row_number() over (partition by line_group order by at desc, id desc) as place from"
        f" (select id, at, what, actor, act, {group} as line_group from incident_event"
        " where incident_id = :id) as grouped) as counted"
        " where line_group = 0 or place <= :limit order by at, id",
        {"id": number, "limit": limit},
    )
    return [Happened(*row) for row in rows]


def count_lines(tx: Transaction, number: int) -> int:
    """Return the number of all lines of an incident's timeline."""
    return int(
        tx.execute(
            "select count(*) from incident_event where incident_id = ?", (number,)
        ).fetchone()[0]
    )


def state_changes_of(tx: Transaction, number: int) -> list[Happened]:
    """Return all lines that open or end an incident, oldest first."""
    rows = tx.execute(
        "select at, what, actor, act from incident_event where incident_id = :id and"
        f" ({_IS_STATE_CHANGE}) order by at, id",
        {"id": number},
    )
    return [Happened(*row) for row in rows]


def acted(tx: Transaction, number: int, act: str) -> bool:
    """Return whether a repair action is in an incident's timeline."""
    row = tx.execute(
        "select 1 from incident_event where incident_id = :id and act = :act limit 1",
        {"id": number, "act": act},
    ).fetchone()
    return row is not None


def open_kinds_at(tx: Transaction, node: str, partition: str, besides: str) -> set[str]:
    """Return the kinds of open incidents with evidence in a partition's data or its whole node.

    Evidence from the delivery that the attempt `besides` read is ignored, from any attempt at it.
    """
    rows = tx.execute(
        "select i.kind, e.attempt from evidence e join incident i on i.id = e.incident_id where"
        " e.node = :node and e.partition in (:partition, '') and i.state <> 'resolved' and"
        " e.attempt is not null",
        {"node": node, "partition": partition},
    ).fetchall()
    delivery = _delivery_of(tx, besides, node, partition)
    return {
        str(kind)
        for kind, attempt in rows
        if delivery is None or _delivery_of(tx, attempt, node, partition) != delivery
    }


def _delivery_of(tx: Transaction, attempt: str, node: str, partition: str) -> int | None:
    epoch, _, n = attempt.partition(".")
    return delivery_of_attempt(tx, (int(epoch), int(n)), node, partition)


_SEEN_AT = (
    "select incident_id from incident_partition where node = :node and partition in ({keys})"
    " union select incident_id from evidence where node = :node and partition in ({keys})"
    " and ended_at is null and incident_id is not null"
)


def open_at(tx: Transaction, node: str, partition: str) -> Incident | None:
    """Return the oldest open incident with active evidence or symptoms at a partition, or None.

    Incidents of the partition take precedence over those of the whole node, and incidents whose
    cause has ended come last.
    """
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


class OpenIncidents:
    """The open incidents, found by what they are seen at like `open_at`, all by two statements."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.all = open_incidents(tx)
        """Oldest first."""
        known = {incident.id: incident for incident in self.all}
        self._at: dict[tuple[str, str], list[Incident]] = {}
        for node, partition, number in tx.execute(_SEEN_OPEN):
            self._at.setdefault((node, partition), []).append(known[number])

    def at(self, node: str, partition: str) -> Incident | None:
        """Return what `open_at` returns."""
        exact, whole = self._at.get((node, partition), []), self._at.get((node, ""), [])
        return min(
            [*exact, *whole],
            key=lambda item: (item.state == "recovering", item not in exact, item.id),
            default=None,
        )

    @cached_property
    def wrong(self) -> list[tuple[int, str, str, int]]:
        """The wrong publications that readers see, as `wrong_keys` returns those of one incident.

        Each has the number of its incident, node, partition and time of publication.
        """
        return self._tx.execute(
            SAME_ROWS.format(which="i.state <> 'resolved'")
            + "select distinct u.incident_id, p.node, p.partition, p.published_at from wrong u join"
            " publication p on p.id = u.publication_id where u.until_at is null and"
            " p.ended_snapshot is null order by 1, 2, 3"
        ).fetchall()


_OPEN_ONES = "incident_id in (select id from incident where state <> 'resolved')"
_SEEN_OPEN = (
    f"select node, partition, incident_id from incident_partition where {_OPEN_ONES} union select"
    f" node, partition, incident_id from evidence where ended_at is null and {_OPEN_ONES}"
)


def users_of_column(
    tx: Transaction, node: str, partition: str, column: str
) -> tuple[str, ...] | None:
    """Return the consumers affected by the newest incident about a partition's column, or None."""
    if not column:
        return None
    seen = (
        "select incident_id from incident_partition where node = :node and partition = :partition"
    )
    sql = f"select {_COLUMNS} from incident where node = :node and id in ({seen}) order by id desc"
    incidents = _all(tx.execute(sql, {"node": node, "partition": partition}))
    return next(
        (incident.affected.consumers for incident in incidents if column in incident.columns), None
    )


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
    """Return whether a publication named as wrong, or one with the same rows, is still visible."""
    row = tx.execute(
        SAME_ROWS.format(which="u.incident_id = :id")
        + "select 1 from wrong u join publication p on p.id = u.publication_id where u.until_at is"
        " null and p.ended_snapshot is null limit 1",
        {"id": number},
    ).fetchone()
    return row is not None


def wrong_keys(tx: Transaction, number: int) -> list[tuple[str, str]]:
    """Return (node, partition) of an incident's wrong publications still visible, in order.

    Later publications with the same rows count too.
    """
    rows = tx.execute(
        SAME_ROWS.format(which="u.incident_id = :id")
        + "select distinct p.node, p.partition from wrong u join publication p on p.id ="
        " u.publication_id where u.until_at is null and p.ended_snapshot is null order by 1, 2",
        {"id": number},
    )
    return [(node, partition) for node, partition in rows]


def read_again(tx: Transaction, since: int) -> list[Incident]:
    """Return incidents resolved since a time whose wrong rows are visible again."""
    names = ", ".join(f"i.{name.strip()}" for name in _COLUMNS.split(","))
    return _all(
        tx.execute(
            SAME_ROWS.format(which="i.resolved_at > :since and i.state = 'resolved'")
            + f"select {names} from incident i where i.id in (select w.incident_id from wrong w"
            " join publication p on p.id = w.publication_id where w.until_at is null and"
            " p.ended_snapshot is null) order by i.id",
            {"since": since},
        )
    )


def publications_of(tx: Transaction, evidence: Iterable[str]) -> list[int]:
    """Return the publications of pieces of evidence, visible or not, except accepted ones."""
    results = []
    for item in evidence:
        row = tx.execute(
            "select attempt, node, partition from evidence where id = ?", (item,)
        ).fetchone()
        if row is None or row[0] is None:
            continue
        epoch, _, n = row[0].partition(".")
        known = tx.execute(
            "select id from publication where epoch = ? and n = ? and node = ? and partition = ?"
            " and id not in (select publication_id from accepted where publication_id is not null"
            " and ended_at is null)",
            (int(epoch), int(n), row[1], row[2] or "*"),
        ).fetchone()
        results += [] if known is None else [int(known[0])]
    return results


def as_reported(tx: Transaction, incident: Incident, at: int) -> Incident:
    """Return an incident with its kind, node, summary and partitions as reported at a time.

    If those aren't stored, the current ones are returned.
    """
    row = tx.execute(
        "select kind, node, summary from incident_said where incident_id = ? and at <= ? order by"
        " at desc limit 1",
        (incident.id, at),
    ).fetchone()
    if row is None:
        return incident
    kind, node, summary = row
    seen = {
        key
        for (key,) in tx.execute(
            "select partition from incident_partition where incident_id = ? and at <= ?",
            (incident.id, at),
        )
    }
    affected = msgspec.structs.replace(
        incident.affected,
        partitions=tuple(key for key in incident.affected.partitions if key in seen),
    )
    return msgspec.structs.replace(
        incident, kind=kind, node=node, summary=summary, affected=affected
    )


# Writes.


def next_id(tx: Transaction) -> int:
    """Return the number for a new incident."""
    return int(tx.execute("select coalesce(max(id), 0) + 1 from incident").fetchone()[0])


def write(tx: Transaction, incident: Incident) -> None:
    """Insert or update an incident."""
    rewrite(tx, incident)
    _say(tx, incident)


def rewrite(tx: Transaction, incident: Incident) -> None:
    """Insert or update an incident; what was reported of it stays."""
    values = msgspec.structs.asdict(incident) | {
        "columns": _json(incident.columns),
        "confidence": f"{incident.confidence:.3f}",
        "evidence": _json(incident.evidence),
        "affected": _json(incident.affected),
    }
    names = Incident.__struct_fields__
    placeholders = ", ".join(f":{name}" for name in names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
    tx.execute(
        f"insert into incident ({', '.join(names)}) values ({placeholders}) on conflict (id) do"
        f" update set {changed}",
        values,
    )


def _say(tx: Transaction, incident: Incident) -> None:
    """Store an incident's reported fields if they have changed."""
    reported = (incident.kind, incident.node, incident.summary)
    row = tx.execute(
        "select kind, node, summary from incident_said where incident_id = ? order by at desc"
        " limit 1",
        (incident.id,),
    ).fetchone()
    if row is None or tuple(row) != reported:
        tx.execute(
            "insert into incident_said (incident_id, at, kind, node, summary) values (?, ?, ?, ?,"
            " ?) on conflict (incident_id, at) do update set kind = excluded.kind, node ="
            " excluded.node, summary = excluded.summary",
            (incident.id, incident.updated_at, *reported),
        )


def happened(tx: Transaction, number: int, what: Iterable[Happened]) -> None:
    """Append to an incident's timeline."""
    tx.executemany(
        "insert into incident_event (incident_id, at, what, actor, act) values (?, ?, ?, ?, ?)",
        [(number, item.at, item.what, item.actor, item.act) for item in what],
    )


def seen_at(tx: Transaction, number: int, places: Iterable[tuple[str, str]], at: int) -> None:
    """Insert the (node, partition) of the cause itself."""
    tx.executemany(
        "insert into incident_partition (incident_id, node, partition, at) values (?, ?, ?, ?) on"
        " conflict do nothing",
        [(number, node, partition, at) for node, partition in places],
    )


def rename_places(tx: Transaction, node: str, new_name: str) -> None:
    """Move causes, symptoms and reports at a node to its new name."""
    for table in ("incident_partition", "symptom", "incident_said"):
        tx.execute(f"update {table} set node = ? where node = ?", (new_name, node))


def attach(tx: Transaction, number: int, symptoms: Iterable[Symptom]) -> None:
    """What a cause brought about elsewhere."""
    tx.executemany(
        "insert into symptom (incident_id, node, partition, what, at) values (?, ?, ?, ?, ?) on"
        " conflict do nothing",
        [
            (number, symptom.node, symptom.partition, symptom.what, symptom.at)
            for symptom in symptoms
        ],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def sound_again(tx: Transaction, number: int, now: int) -> None:
    """End an incident's wrong publications, which are readable as published again."""
    tx.execute(
        "update unsound set until_at = ? where incident_id = ? and until_at is null", (now, number)
    )


def name_wrong(
    tx: Transaction, number: int, publications: Iterable[int], columns: Iterable[str], now: int
) -> None:
    """Name publications as wrong from now on, in some columns, or in all if none are given."""
    text = _json(list(columns))
    tx.executemany(
        "insert into unsound (incident_id, publication_id, columns, known_at) values (?, ?, ?, ?)"
        " on conflict (incident_id, publication_id) do update set until_at = null, known_at = case"
        " when unsound.until_at is null then unsound.known_at else excluded.known_at end",
        [(number, publication, text, now) for publication in publications],
    )
