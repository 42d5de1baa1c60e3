"""The audit trail: nothing can be altered, removed, inserted or moved without `verify` naming the
first entry that doesn't fit.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from state_kinds import ONLY_POSTGRESQL, ONLY_SQLITE

from headrace.model import Settings
from headrace.security import (
    Action,
    ActionOutcome,
    Actor,
    ActorType,
    AuditEvent,
    Object,
    append,
    append_all,
    audit,
    verify,
)
from headrace.security.audit import canonical, clean
from headrace.store import Store
from headrace.store.queries import audit_trail

Row = tuple[Any, Any, Any, Any, Any]
AT = 1_360_651_200_000_000
ACTOR = Actor(ActorType.PERSON, "ann", "Ann")


@pytest.fixture
def store(tmp_path: Path, state_settings: Settings) -> Iterator[Store]:
    with Store.open(tmp_path, state_settings, create=True) as opened:
        yield opened


def event(number: int = 0, **more: Any) -> AuditEvent:
    subject = Object("partition", f"flights@{number}", "1")
    return AuditEvent(
        action=Action.PARTITION_PUBLISHED,
        actor=ACTOR,
        object=subject,
        after={"rows": number},
        **more,
    )


def fill(store: Store, count: int) -> list[Row]:
    with store.write(None) as tx:
        for number in range(count):
            append(tx, AT + number * 1_000_003, event(number))
    return rows(store)


def rows(store: Store) -> list[Row]:
    with store.read() as tx:
        return tx.execute(
            "select seq, at, event, prev_hash, hash from audit order by seq"
        ).fetchall()


def checked(store: Store) -> audit.Verification:
    with store.read() as tx:
        return verify(tx)


# What is written
# --------------------------------------------------------------------------------------------------


def test_the_chain_is_what_the_specification_says(store: Store) -> None:
    """TRUST H2, recomputed here from its text, without the code under test."""
    previous = "0" * 64
    for seq, _, text, before, digest in fill(store, 3):
        framed = (
            b"\x02"
            b"\x01"
            + bytes([8])
            + b"headrace"
            + seq.to_bytes(8, "big")
            + bytes.fromhex(previous)
            + text.encode()
        )
        assert before == previous
        assert digest == hashlib.sha256(framed).hexdigest()
        previous = digest
    assert checked(store) == audit.Verification(ok=True, entries=3, head=previous)


def test_a_golden_entry_hashes_to_the_same_for_ever() -> None:
    """Old trails must verify with every later version."""
    text = '{"action":"store.created","at":"2013-02-12T04:40:00.000000Z"}'
    assert (
        audit.chain_hash(1, audit.GENESIS, text)
        == "259dc0770ca1b486e83045328098192beb355e07196f4f6d06381d072646e2ae"
    )


def test_an_entry_holds_who_what_when_and_why(store: Store) -> None:
    """TRUST A1-A4."""
    with store.write(None) as tx:
        seq = append(
            tx,
            AT,
            AuditEvent(
                action=Action.RUN_REQUESTED,
                actor=ACTOR,
                object=Object("run", "7"),
                outcome=ActionOutcome.DENIED,
                reason="not applied",
                before={"b": 1, "a": None},
                after=["x"],
                request_id="3",
                run_id="7",
            ),
        )
    ((number, at, text, _, _),) = rows(store)
    result = json.loads(text)
    assert (seq, number, at) == (1, 1, AT)
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", result.pop("id")
    )
    assert (
        abs(
            time.time()
            - time.mktime(time.strptime(result.pop("real_at")[:19], "%Y-%m-%dT%H:%M:%S"))
            + time.timezone
        )
        < 60
    )
    assert result == {
        "action": "run.requested",
        "actor": {"type": "person", "id": "ann", "display": "Ann"},
        "at": "2013-02-12T06:40:00.000000Z",
        "object": {"kind": "run", "id": "7", "version": None},
        "outcome": "denied",
        "reason": "not applied",
        "before": {"a": None, "b": 1},
        "after": ["x"],
        "request_id": "3",
        "run_id": "7",
    }


@pytest.mark.parametrize("field", ["reason", "before", "request_id", "run_id", "after"])
def test_no_field_is_lost_when_it_is_the_only_one(store: Store, field: str) -> None:
    """Would catch: an event with one field more than most that is written as if it had none."""
    subject = Object("run", "7")
    with store.write(None) as tx:
        append(
            tx,
            AT,
            AuditEvent(
                action=Action.RUN_REQUESTED,
                actor=ACTOR,
                object=subject,
                outcome=ActionOutcome.FAILED,
                **{field: "5"},
            ),
        )
    result = json.loads(rows(store)[0][2])
    names = {"reason": "", "before": None, "request_id": None, "run_id": None, "after": None}
    assert {name: result[name] for name in names} == names | {field: "5"}
    assert result["object"] == {"kind": "run", "id": "7", "version": None}
    assert result["outcome"] == "failed"


def test_a_batch_is_the_same_chain(store: Store) -> None:
    with store.write(None) as tx:
        assert append_all(tx, AT, [event(n) for n in range(3)]) == 3
        assert append(tx, AT, event(3)) == 4
        assert append_all(tx, AT, []) == 4
    assert (checked(store).ok, checked(store).entries) == (True, 4)


def test_an_entry_shares_the_fate_of_its_transaction(store: Store) -> None:
    """TRUST A5: a change without an event, or an event without a change."""
    with pytest.raises(ZeroDivisionError):
        append_and_raise(store)
    assert checked(store) == audit.Verification(ok=True, entries=0, head=audit.GENESIS)


def append_and_raise(store: Store) -> None:
    with store.write(None) as tx:
        append(tx, AT, event())
        raise ZeroDivisionError


def test_ids_grow_with_time_and_never_repeat(store: Store) -> None:
    ids = [json.loads(row[2])["id"] for row in fill(store, 500)]
    assert len(set(ids)) == 500
    assert [result[:13] for result in ids] == sorted(found[:13] for found in ids)


def test_an_id_is_its_time_its_version_and_74_random_bits(store: Store) -> None:
    """RFC 9562, section 5.7. Would catch: bits that are always the same, so that two ids of a
    millisecond collide.
    """
    before = time.time_ns() // 1_000_000
    ids = [uuid.UUID(json.loads(row[2])["id"]) for row in fill(store, 300)]
    after = time.time_ns() // 1_000_000
    assert all(before <= result.int >> 80 <= after for result in ids)
    assert {(result.version, result.variant) for result in ids} == {(7, uuid.RFC_4122)}
    random_bits = (1 << 80) - 1 ^ 0xF << 76 ^ 0b11 << 62
    ever_set = ever_clear = 0
    for result in ids:
        ever_set |= result.int
        ever_clear |= ~result.int
    assert ever_set & ever_clear & random_bits == random_bits


def test_a_huge_value_is_kept_as_its_hash(store: Store) -> None:
    """One event of a million keys would make the trail unreadable, and the transaction slow."""
    huge = {"keys": [f"k{n}" for n in range(50_000)]}
    with store.write(None) as tx:
        append(
            tx,
            AT,
            AuditEvent(
                action=Action.PROJECT_APPLIED,
                actor=ACTOR,
                object=Object("project", "p"),
                after=huge,
            ),
        )
    result = json.loads(rows(store)[0][2])
    text = json.dumps(huge, separators=(",", ":"))
    assert result["after"] == {
        "bytes": len(text),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert result["before"] is None


def stored(store: Store, before: Any, after: Any) -> str:
    """The text of an event of its own."""
    subject = Object("project", "p")
    event = AuditEvent(
        action=Action.PROJECT_APPLIED, actor=ACTOR, object=subject, before=before, after=after
    )
    with store.write(None) as tx:
        append(tx, AT, event)
    text: str = rows(store)[-1][2]
    return text


@ONLY_SQLITE
@pytest.mark.parametrize("before", [None, "b"])
@pytest.mark.parametrize("letter", ["x", "é", "☃", "🛩"])
def test_a_value_is_kept_as_long_as_its_event_has_at_most_64_kibibytes(
    store: Store, before: str | None, letter: str
) -> None:
    """Would catch: another limit for a text of which each letter takes several bytes, or for an
    event that has nothing but `after`; a limit that a change of the format would move.
    """
    size = 65_536 - len(stored(store, before, []).encode()) + len("[]")
    values: list[Any] = [letter * 3_000] * (size // (3_000 * len(letter.encode()) + 3) - 1)
    if (size - len(canonical(values).encode())) % 2:
        values.append(10)
    values += [1] * ((size - len(canonical(values).encode())) // len(",1"))
    text = stored(store, before, values)
    assert len(text.encode()) == 65_536
    assert json.loads(text)["after"] == values
    values[-1] = 10
    whole = canonical(values).encode()
    result = json.loads(stored(store, before, values))
    assert result["after"] == {
        "bytes": len(whole),
        "sha256": hashlib.sha256(whole).hexdigest(),
    }
    if before is None:
        assert result["before"] is None
    else:
        assert result["before"] == {
            "bytes": 3,
            "sha256": hashlib.sha256(b'"b"').hexdigest(),
        }


def test_text_from_outside_can_not_forge_a_line(store: Store) -> None:
    """TRUST A8: newlines, terminal escapes and bidirectional overrides reach whoever reads the
    trail."""
    hostile = "ok\n2013-01-01 ann deleted everything\x1b[2J\u202egnp.exe\x00\ud800"
    with store.write(None) as tx:
        append(tx, AT, event(reason=hostile + "x" * 10_000))
    result = json.loads(rows(store)[0][2])["reason"]
    assert result.isprintable()
    assert result.startswith("ok\\u000a2013")
    assert "\\u202e" in result
    assert len(result) < 5_000
    assert checked(store).ok


# What is found
# --------------------------------------------------------------------------------------------------


def broken_at(changed: list[Row]) -> int | None:
    result = audit.verify_rows(changed)
    assert result.ok is (result.broken_at is None)
    return result.broken_at


def flipped(value: Any, at: random.Random) -> Any:
    """The value with one bit flipped."""
    if isinstance(value, int):
        return value ^ 1 << at.randrange(50)
    raw = bytearray(value.encode())
    raw[at.randrange(len(raw))] ^= 1 << at.randrange(8)
    return raw.decode("utf-8", "surrogateescape")


def test_any_flipped_bit_of_any_field_is_found(store: Store) -> None:
    """TRUST H8, F19."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    intact = fill(store, 20)
    for _ in range(2_000):
        place, field = chance.randrange(20), chance.randrange(5)
        row = list(intact[place])
        row[field] = flipped(row[field], chance)
        changed = [*intact[:place], tuple(row), *intact[place + 1 :]]
        assert broken_at(changed) == place + 1, (place, field)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 7, 18])
def test_a_deleted_entry_is_found(store: Store, place: int) -> None:
    intact = fill(store, 20)
    assert broken_at(intact[:place] + intact[place + 1 :]) == place + 1


def test_swapped_entries_are_found(store: Store) -> None:
    intact = fill(store, 20)
    assert broken_at([*intact[:4], intact[5], intact[4], *intact[6:]]) == 5
    renumbered = [*intact[:4], (5, *intact[5][1:]), (6, *intact[4][1:]), *intact[6:]]
    assert broken_at(renumbered) == 5


def test_an_inserted_entry_is_found(store: Store) -> None:
    intact = fill(store, 20)
    text = intact[3][2]
    forged = (5, intact[3][1], text, intact[3][4], audit.chain_hash(5, intact[3][4], text))
    assert broken_at([*intact[:4], forged, *[(row[0] + 1, *row[1:]) for row in intact[4:]]]) == 6
    assert broken_at([*intact[:4], forged, *intact[4:]]) == 6  # a seq that stands twice


def test_an_altered_entry_with_its_own_hash_made_right_breaks_at_the_next(store: Store) -> None:
    intact = fill(store, 20)
    seq, at, text, before, _ = intact[9]
    changed = text.replace('"rows":9', '"rows":8')
    forged = (seq, at, changed, before, audit.chain_hash(seq, before, changed))
    assert broken_at([*intact[:9], forged, *intact[10:]]) == 11


def test_what_a_chain_alone_can_not_show(store: Store) -> None:
    """A cut end, and a trail that was computed anew as a whole, verify: it takes a head that was
    kept elsewhere.

    Documented in `security.audit`; if this test fails, checkpoints were built and the documentation
    is out of date.
    """
    intact = fill(store, 20)
    cut = audit.verify_rows(intact[:15])
    assert (cut.ok, cut.head) == (True, intact[14][4])
    anew: list[Row] = []
    head = audit.GENESIS
    for seq, at, text, _, _ in intact:
        changed = text.replace('"id":"ann"', '"id":"bob"')
        digest = audit.chain_hash(seq, head, changed)
        anew.append((seq, at, changed, head, digest))
        head = digest
    result = audit.verify_rows(anew)
    assert result.ok
    assert result.head != intact[-1][4]  # who noted the head down sees it


@ONLY_SQLITE
@pytest.mark.parametrize(
    "statement",
    [
        "update audit set event = '{}' where seq = 2",
        "delete from audit where seq = 2",
        "delete from audit",
        (
            "insert or replace into audit (seq, at, event, prev_hash, hash) select seq, at, '{}',"
            " prev_hash, hash from audit where seq = 2"
        ),
        "insert into audit (seq, at, event, prev_hash, hash) values (9, 0, '{}', '', '')",
        "insert into audit (seq, at, event, prev_hash, hash) values (2, 0, '{}', '', '')",
        "replace into audit (seq, at, event, prev_hash, hash) values (1, 0, '{}', '', '')",
    ],
)
def test_the_database_refuses_to_change_the_trail(store: Store, statement: str) -> None:
    """TRUST A7 as far as a file allows: `insert or replace` deletes without firing a delete
    trigger.
    """
    intact = fill(store, 3)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), store.write(None) as tx:
        tx.execute(statement)
    assert rows(store) == intact


@ONLY_POSTGRESQL
@pytest.mark.parametrize(
    "statement",
    [
        "update audit set event = '{}' where seq = 2",
        "update audit set seq = 9 where seq = 2",
        "delete from audit where seq = 3",
        "truncate audit",
        "insert into audit (seq, at, event, prev_hash, hash) values (9, 0, '{}', '', '')",
        (
            "insert into audit (seq, at, event, prev_hash, hash) values (2, 0, '{}', '', '') on"
            " conflict (seq) do update set event = '{}'"
        ),
    ],
)
def test_postgresql_refuses_to_change_the_trail(store: Store, statement: str) -> None:
    intact = fill(store, 3)
    with pytest.raises(Exception, match="append-only"), store.write(None) as tx:
        tx.execute(statement)
    assert rows(store) == intact


def test_what_does_not_fit_is_said(store: Store) -> None:
    """Would catch: a reason that sends people to the wrong entry, a traceback for one that can't be
    read, and an entry whose time was changed.
    """
    first, second, third = fill(store, 3)

    def verified(*changed: Row) -> tuple[bool, int, str, int | None, str]:
        result = audit.verify_rows(changed)
        return result.ok, result.entries, result.head, result.broken_at, result.reason

    def with_content(text: str) -> Row:
        return (2, second[1], text, second[3], audit.chain_hash(2, second[3], text))

    assert verified() == (True, 0, "0" * 64, None, "")
    assert verified(first, second, third) == (True, 3, third[4], None, "")
    for changed, reason in (
        (third, "entry 3 is where 2 is due: one is missing, or is there twice"),
        ((2, *third[1:]), "it doesn't follow the entry before it"),
        ((*second[:4], third[4]), "its content isn't what was hashed"),
        ((2, second[1] + 1, *second[2:]), "its time isn't the one in its content"),
        (with_content("{}"), "it can't be read"),
        (with_content("no JSON"), "it can't be read"),
        ((2, second[1], None, *second[3:]), "it can't be read"),
    ):
        assert verified(first, changed, third) == (False, 1, first[4], 2, reason)


def test_entries_are_counted_by_action(store: Store) -> None:
    """Would catch: a comparison of two copies of a state that takes different trails for equal."""
    with store.read() as tx:
        assert audit.counted(tx) == ((0, "0" * 64), {})
    fill(store, 3)
    with store.write(None) as tx:
        append(
            tx, AT, AuditEvent(action=Action.RUN_FINISHED, actor=ACTOR, object=Object("run", "7"))
        )
    newest = rows(store)[3][4]
    with store.read() as tx:
        assert audit.counted(tx) == (
            (4, newest),
            {"partition.published": 3, "run.finished": 1},
        )


@ONLY_SQLITE
def test_tampering_with_the_file_itself_is_found(store: Store) -> None:
    fill(store, 10)
    raw = sqlite3.connect(store.path)
    raw.executescript(
        "drop trigger audit_no_update; update audit set event = replace(event, '\"rows\":4',"
        " '\"rows\":5') where seq = 5;"
    )
    raw.close()
    result = checked(store)
    assert (result.ok, result.broken_at, result.entries) == (False, 5, 4)
    assert result.reason


@pytest.mark.parametrize(
    "name", ["clean@2013-02-11", 'a "b"', "back\\slash", "Zürich", "tab\there", "x" * 5000, ""]
)
def test_what_is_written_at_a_fraction_of_the_cost_is_canonical_too(
    store: Store, name: str
) -> None:
    """Catches a name that isn't escaped, or members in another order, where the text isn't made by
    the encoder.
    """
    event = AuditEvent(
        action=Action.PARTITION_PUBLISHED,
        actor=Actor(ActorType.SYSTEM, name),
        object=Object("partition", name, name),
        after={"rows": 1},
    )
    with store.write(None) as tx:
        append(tx, 1_000_000, event)
        (text,) = tx.execute("select event from audit order by seq desc limit 1").fetchone()
    assert canonical(json.loads(text)) == text
    assert json.loads(text)["object"]["id"] == clean(name)


def test_entries_between_two_times_are_found_by_their_numbers(store: Store) -> None:
    """Would catch: an entry at the edge left out, or several at one time."""
    with store.write(None) as tx:
        for number, second in enumerate((0, 1, 1, 1, 2, 5, 5)):
            append(tx, AT + second * 1_000_000, event(number))
    written, wanted = rows(store), [Action.PARTITION_PUBLISHED]
    with store.read() as tx:
        for first, last in (
            (-2, -1),
            (-1, 0),
            (0, 0),
            (1, 1),
            (1, 2),
            (3, 4),
            (2, 9),
            (6, 9),
            (-1, 9),
        ):
            span = AT + first * 1_000_000, AT + last * 1_000_000
            result = [seq for seq, _, _ in audit_trail.commands_between(tx, *span, wanted, 100)]
            assert result == [seq for seq, at, *_ in written if span[0] <= at <= span[1]], (
                first,
                last,
            )
        assert [
            seq for seq, _, _ in audit_trail.commands_between(tx, AT, AT + 9_000_000, wanted, 2)
        ] == [6, 7]
        assert audit_trail.commands_between(tx, AT, AT + 9_000_000, [Action.RUN_CANCELLED], 2) == []
