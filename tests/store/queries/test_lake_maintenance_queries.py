"""Problems of workers and the lake, and the checks of its files."""

from __future__ import annotations

import pytest
from table_rows import add

from headrace.lake import catalog
from headrace.store import Store
from headrace.store.queries import lake_maintenance
from headrace.store.queries.lake_maintenance import (
    LAKE,
    WORKERS,
    DamagedPublication,
    FileLook,
    FilesLook,
    OngoingProblem,
    PublishedFiles,
    clear_problem,
    problem,
    record_problem,
)


@pytest.mark.parametrize(
    ("kind", "other"), [(WORKERS, LAKE), (LAKE, WORKERS)], ids=["workers", "lake"]
)
def test_a_problem_lasts_until_it_is_cleared(store: Store, kind: str, other: str) -> None:
    """Would catch: a problem that seems to begin each time it is seen, one that outlives its end,
    and the lake's in place of the workers'."""
    with store.write(None) as tx:
        assert problem(tx, kind) is None
        record_problem(tx, kind, "no memory", 10)
        record_problem(tx, kind, "no disk", 30)
        record_problem(tx, other, "other", 40)
        assert problem(tx, kind) == OngoingProblem(10, 30, "no disk")
        clear_problem(tx, kind)
        assert problem(tx, kind) is None
        assert problem(tx, other) == OngoingProblem(40, 40, "other")
        record_problem(tx, kind, "again", 50)
        assert problem(tx, kind) == OngoingProblem(50, 50, "again")


def test_when_the_lake_was_maintained_and_space_freed(store: Store) -> None:
    """Would catch: a time that is only stored once, or one for both."""
    with store.write(None) as tx:
        assert lake_maintenance.maintained_at(tx) is None
        assert lake_maintenance.reclaimed_at(tx) is None
        for at in (10, 20):
            lake_maintenance.maintenance_done(tx, at)
            lake_maintenance.reclaimed(tx, at + 1)
        assert lake_maintenance.maintained_at(tx) == 20
        assert lake_maintenance.reclaimed_at(tx) == 21


def test_checks_of_the_lakes_files(store: Store) -> None:
    """Would catch: an older check in place of a newer one, a rotation that starts again by itself,
    a check that outlives its file, or one that is deleted while its file is read."""
    intact = [FileLook(number, f"f{number}", 10 * number, None, None) for number in (1, 2, 3, 4, 5)]
    broken = FileLook(2, "f2", 60, "its footer changed", 55)
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
        add(
            tx,
            "ducklake_data_file",
            {"data_file_id": 1},
            {"data_file_id": 2},
            {"data_file_id": 3, "end_snapshot": 7},
        )
        add(
            tx,
            "ducklake_delete_file",
            {"delete_file_id": 4},
            {"delete_file_id": 5, "end_snapshot": 7},
        )
        lake_maintenance.record_file_checks(tx, intact)
        lake_maintenance.record_file_checks(tx, [broken, intact[0]._replace(looked_at=61)])
        assert lake_maintenance.known_checks(tx, [2, 3, 9]) == {2: broken, 3: intact[2]}
        worse = intact[0]._replace(wrong="it is missing", wrong_since=62)
        lake_maintenance.record_file_checks(tx, [worse])
        assert lake_maintenance.damaged_files(tx) == [worse, broken]
        lake_maintenance.record_file_checks(tx, [intact[0]])
        assert lake_maintenance.damaged_files(tx) == [broken]
        checked = [lake_maintenance.checked_since(tx, at) for at in (10, 11, 60, 61)]
        assert checked == [2, 1, 1, 0]

        assert lake_maintenance.rotation_position(tx) == lake_maintenance.BEGINNING < 0
        lake_maintenance.move_rotation(tx, 0, 70)
        assert lake_maintenance.rotation_position(tx) == 0
        lake_maintenance.move_rotation(tx, 3, 71)
        assert lake_maintenance.rotation_position(tx) == 3
        assert lake_maintenance.known_checks(tx, range(9)).keys() == {1, 2, 3, 4, 5}
        lake_maintenance.move_rotation(tx, lake_maintenance.BEGINNING, 72)
        assert lake_maintenance.rotation_position(tx) == lake_maintenance.BEGINNING
        assert lake_maintenance.known_checks(tx, range(9)).keys() == {1, 2, 4}


def test_checks_of_published_files(store: Store) -> None:
    """Would catch: files that are never checked because others are checked before them each time,
    a target of an export that is checked as a file of ours, a damage that outlives its
    publication."""
    path = '{"path": "%s.html", "size": 7, "sha256": "00"}'
    with store.write(None) as tx:
        for number in (1, 2, 3, 4):
            row = {"id": number, "node": f"n{number}", "rows": 10 * number}
            add(tx, "publication", row | {"manifest": f"[{path % number}]"})
        add(tx, "publication", {"id": 5, "node": "n5"})
        tx.execute(
            "update publication set manifest = ? where id = 2",
            (f'[{{"target": "s3://b"}}, {path % 2}, {path % 22}]',),
        )
        broken = FilesLook(1, 60, "1.html", 7, "it is missing", 55)
        second, third = FilesLook(2, 50), FilesLook(3, 40)
        lake_maintenance.record_published_checks(tx, [FilesLook(1, 30), second, third])
        lake_maintenance.record_published_checks(tx, [broken])

        def files(*numbers: int) -> tuple[dict[str, object], ...]:
            return tuple({"path": f"{n}.html", "size": 7, "sha256": "00"} for n in numbers)

        assert lake_maintenance.next_published_files(tx, 9) == [
            PublishedFiles(4, files(4), None),
            PublishedFiles(3, files(3), third),
            PublishedFiles(2, files(2, 22), second),
            PublishedFiles(1, files(1), broken),
        ]
        limited = lake_maintenance.next_published_files(tx, 2)
        assert [item.publication for item in limited] == [4, 3]
        assert lake_maintenance.damaged_publications(tx) == [
            DamagedPublication(1, "n1", "d1", 10, broken)
        ]

        tx.execute("update publication set ended_snapshot = 9, ended_at = 9 where id in (1, 3)")
        assert lake_maintenance.damaged_publications(tx) == []
        lake_maintenance.record_published_checks(tx, [])
        rows = tx.execute("select publication_id from published_file_look").fetchall()
        assert [number for (number,) in rows] == [2]
