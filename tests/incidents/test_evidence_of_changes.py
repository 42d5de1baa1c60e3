"""Evidence of what a new version changed, and of sources that can't be read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headrace.compiler.compiling import compile_project
from headrace.incidents.evidence import changes, downtime
from headrace.model import Place, Project, Settings, Source
from headrace.plan import Compiled
from headrace.store import Store
from headrace.store.queries import ingestion

COLUMNS = "id, hash, manifest, compiled, applied_at, actor"
NAMES = [f"s{number}" for number in range(9)]


def written(root: Path, folder: str) -> Compiled:
    (root / "sources").mkdir(parents=True, exist_ok=True)
    (root / "headrace.toml").write_text('[project]\nname = "lab"\ntimezone = "UTC"\n')
    (root / "owners.yaml").write_text("acme: {kind: vendor}\n")
    for name in NAMES:
        files = f"{folder}/{name}_{{date:%Y-%m-%d}}.csv"
        text = f"source: {name}\nowner: acme\npartition: day\nfiles: {files}\n"
        (root / f"sources/{name}.yaml").write_text(text)
    result = compile_project(root).compiled
    assert result is not None
    return result


def test_evidence_comes_in_the_same_order_each_time(tmp_path: Path) -> None:
    """Would catch: sources that were moved together in the order of a set, another each process."""
    store = Store.open(tmp_path / "state", Settings(name="t"), create=True)
    with store.write(None) as tx:
        for number, folder in ((1, "landing"), (2, "other")):
            compiled = msgspec.msgpack.encode(written(tmp_path / "lab", folder))
            tx.execute(
                f"insert into version ({COLUMNS}) values (?, ?, '{{}}', ?, ?, 'ann')",
                (number, str(number), compiled, number),
            )
        result, newest = changes.gather(tx, 1)
    assert newest == 2
    assert [item.node for item in result] == NAMES


MINUTE_US = 60 * 1_000_000


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0, None, None), (10, "timed out", None)], [("source_unavailable", 10, "")]),
        ([(0, None, None), (9, "timed out", None)], []),
        ([(0, None, None), (1, "timed out", None), (2, "timed out", None)], [("source_unavailable", 1, "")]),
        ([(5, "timed out", None)], [("source_unavailable", 5, "")]),
        ([(0, "timed out", None), (1, None, None)], []),
        ([(0, None, None), (1, "403", "access_denied")], [("access_denied", 1, "access_denied")]),
        ([(0, None, None), (1, "no key", "configuration_error")],
         [("configuration_error", 1, "configuration_error")]),
        ([(0, "timed out", None), (1, "403", "access_denied")], [("access_denied", 0, "access_denied")]),
        ([(0, None, None), (20, "429", "source_throttled")], []),
    ],
)  # fmt: skip
def test_one_failed_look_is_enough_where_looks_are_rare(
    tmp_path: Path,
    looks: list[tuple[int, str | None, str | None]],
    expected: list[tuple[str, int, str]],
) -> None:
    """Would catch: an incident for each hiccup of a source that is asked each minute, and none for one
    that is asked each hour and doesn't answer."""
    project = written(tmp_path / "lab", "landing").project
    store = Store.open(tmp_path / "state", Settings(name="t"), create=True)
    with store.write(None) as tx:
        for minute, error, code in looks:
            ingestion.record_observation(tx, "s3", minute * MINUTE_US, 0, error, code)
            ingestion.record_observation(tx, "unknown", minute * MINUTE_US, 0, error, code)
        results = list(downtime.gather_failed_observations(tx, project))
        late = list(downtime.gather_failed_observations(tx, project, {"s3"}))
    assert [(item.kind, item.began_us, item.detail) for item in results] == [
        (kind, minute * MINUTE_US, code) for kind, minute, code in expected
    ]
    assert all(
        (item.node, item.host, item.observed) == ("s3", "landing", looks[-1][1]) for item in results
    )
    throttled = looks[-1][2] == "source_throttled"
    assert [item.detail for item in late if item not in results] == (
        ["source_throttled"] if throttled else []
    )


@pytest.mark.parametrize(
    ("connector", "files", "host"),
    [
        ({"connection": "erp"}, None, "db.example.com"),
        ({"connection": "files"}, None, "files"),
        ({"connection": "gone"}, None, "gone"),
        ({"http": {"url": "https://user:word@api.example.com:8443/x"}}, None, "api.example.com"),
        ({"http": "https://api.example.com/x"}, None, "api.example.com"),
        ({"http": "${DEPOT}/stock/{date:%Y-%m-%d}.csv"}, None, "${DEPOT}"),
        ({"http": {"url": "${DEPOT}/orders?day={date:%Y}"}}, None, "${DEPOT}"),
        ({"http": "${DEPOT}?key=word"}, None, "${DEPOT}"),
        ({"http": "${SCHEME}://user:word@api.example.com/x"}, None, ""),
        ({"http": "https://${DEPOT}/orders"}, None, "${depot}"),
        ({}, "landing/x/{date}.csv", "landing/x"),
        ({}, "x.csv", ""),
        ({}, None, ""),
    ],
)
def test_sources_share_a_server_a_connection_or_a_folder(
    connector: dict[str, object], files: str | None, host: str
) -> None:
    """Would catch: twenty incidents for one server that is down, also where a variable names it; and
    a password in an incident."""
    place = Place(file="s.yaml")
    source = Source(name="s", owner="o", connector=connector, files=files, place=place)
    connections = {"erp": {"url": "postgresql://user:word@db.example.com/x"}, "files": {}}
    project = Project(settings=Settings(name="t", connections=connections), sources={"s": source})
    assert downtime.host_of(source, project) == host
    assert (downtime.host_at(project, "s"), downtime.host_at(project, "no")) == (host, "")
