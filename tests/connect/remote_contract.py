"""What every kind of source that isn't a local folder must keep to. A kind subclasses
`RemoteContract` with a `Remote`: how its server, database or bucket is filled, broken and asked.
Real ones on the loopback address; no mocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.connectors import Access, Unavailable, connector_of
from headrace.connect.deliveries import (
    CannotRead,
    DetectedDelivery,
    Drift,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
)
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.raw_files import store_fetched
from headrace.model import Source
from headrace.security.secrets import Secrets

CANARY = "canary-8f3a1c-not-in-any-text"
"""The secret that every source of the contract authenticates with, as the environment variable
REMOTE_SECRET."""
Row = dict[str, Any]
ROWS: list[Row] = [
    {"id": 1, "amount": "1.50", "who": "ann"},
    {"id": 2, "amount": "2.25", "who": "bob"},
]
HOSTILE_KEYS = (
    "",
    "a/../../b",
    "x'; drop table rows; --",
    "%00%0a",
    "${HOME}",
    "{date:%Y}",
    "é☃",
    "k" * 10_000,
)
"""Values of the column `who`: data, wherever they go."""


class Remote(ABC):
    """One real source of a kind, filled and broken by the tests. The columns are id (whole), amount
    (text) and who (text).
    """

    page_size = 3
    """Rows that come at once, where there is such a limit."""

    @property
    @abstractmethod
    def source(self) -> Source:
        """As declared. Secrets are `${REMOTE_SECRET}`."""

    connection: Mapping[str, Any] = {}
    """[connections.X] as declared."""

    @abstractmethod
    def fill(self, rows: Sequence[Row]) -> None:
        """From now on the source holds these rows, as another version than before."""

    @abstractmethod
    def forbid(self) -> None:
        """From now on the secret isn't accepted."""

    @abstractmethod
    def go_away(self) -> None:
        """From now on nobody answers."""

    @abstractmethod
    def break_off(self) -> None:
        """From now on what is fetched breaks off in the middle, after its first rows."""

    @abstractmethod
    def hang(self) -> None:
        """From now on what is fetched stops in the middle, and stays open, until the
        test is over.
        """

    @abstractmethod
    def spoil(self) -> None:
        """From now on the bytes aren't what they should be."""

    @abstractmethod
    def come_back(self) -> None:
        """Undo `forbid`, `go_away`, `break_off`, `hang` and `spoil`."""

    def limit_rate(self) -> None:
        """From now on the first request is refused as one too many; the next ones aren't."""
        pytest.skip("this kind of source has no rate limit")

    def repeat(self) -> None:
        """From now on the second page is the first one again, for ever."""
        pytest.skip("this kind of source has no pages")


class RemoteBench:
    """Looks, fetches and ingests as a worker does."""

    def __init__(self, bench: Workbench, remote: Remote) -> None:
        self.bench, self.remote = bench, remote
        self.secrets = Secrets(bench.root)

    @property
    def access(self) -> Access:
        return Access(
            source=self.remote.source,
            connection=self.remote.connection,
            secrets=self.secrets,
            project=self.bench.root,
            temporary=self.bench.temporary,
            now_us=time.time_ns() // 1000,
        )

    def observe(
        self, known: Mapping[str, tuple[str, str]] | None = None, wanted: Sequence[str] = ("*",)
    ) -> tuple[DetectedDelivery, ...]:
        return connector_of(self.remote.source).observe(self.access, wanted, known or {}).found

    def fetch(self, found: DetectedDelivery, pinned: SourceSchema | None = None) -> Outcome:
        """One delivery from the source to its rows."""
        try:
            fetched = connector_of(self.remote.source).fetch(self.access, found)
        except CannotRead as error:
            return error.value
        kept = store_fetched(fetched.path, self.bench.raw)
        result = prepare(
            Path(kept.path),
            fetched.name,
            ReadRules(temporary=self.bench.temporary),
            connection=self.bench.session.connection,
            pinned=pinned,
        )
        return self.bench.read(result)

    def take(self, pinned: SourceSchema | None = None) -> Outcome:
        (result,) = self.observe()
        return self.fetch(result, pinned)

    def pinned(self) -> SourceSchema:
        self.remote.fill(ROWS)
        taken = self.take()
        assert isinstance(taken, Taken), taken
        return taken.schema

    def left(self) -> list[str]:
        """Temporary files that are left behind."""
        return [
            path.name
            for path in self.bench.temporary.iterdir()
            if not path.name.startswith("rate-")
        ]


def rows_of(outcome: Outcome) -> list[tuple[Any, ...]]:
    assert isinstance(outcome, Taken), outcome
    return sorted(
        zip(
            outcome.column("id"),
            map(str, outcome.column("amount")),
            outcome.column("who"),
            strict=True,
        )
    )


def as_tuples(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return sorted((row["id"], row["amount"], row["who"]) for row in rows)


def made(count: int) -> list[Row]:
    return [{"id": n, "amount": f"{n}.50", "who": f"name {n}"} for n in range(1, count + 1)]


class RemoteContract:
    """Abstract: subclasses define the fixture `remote`, which gives a Remote."""

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REMOTE_SECRET", CANARY)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    @pytest.fixture
    def far(self, bench: Workbench, remote: Remote) -> RemoteBench:
        return RemoteBench(bench, remote)

    # -- what is there is delivered

    @pytest.mark.parametrize("beyond", [-1, 0, 1])
    def test_a_limit_and_one_more(self, far: RemoteBench, beyond: int) -> None:
        """Would catch: the last row lost, or the first one twice, where the rows fill pages exactly
        or nearly.
        """
        for pages in (1, 2):
            rows = made(pages * far.remote.page_size + beyond)
            far.remote.fill(rows)
            assert rows_of(far.take()) == as_tuples(rows)
            assert far.left() == []

    def test_one_row(self, far: RemoteBench) -> None:
        """Would catch: a single record that is taken for a document, or a header for a row."""
        far.remote.fill(ROWS[:1])
        assert rows_of(far.take()) == as_tuples(ROWS[:1])

    def test_no_rows(self, far: RemoteBench) -> None:
        """Would catch: an empty result that fails, although its columns are known."""
        schema = far.pinned()
        far.remote.fill([])
        taken = far.take(schema)
        assert isinstance(taken, Taken), taken
        assert taken.rows == []
        assert set(taken.names) == {"id", "amount", "who"}

    def test_hostile_values_are_data(self, far: RemoteBench) -> None:
        """Would catch: a value that reaches a statement, a path or a secret's reference."""
        rows = [{"id": n, "amount": "1.50", "who": key} for n, key in enumerate(HOSTILE_KEYS, 1)]
        far.remote.fill(rows)
        assert rows_of(far.take()) == as_tuples(rows)

    def test_what_hasnt_changed_isnt_found_again(self, far: RemoteBench) -> None:
        """Would catch: a source that is read anew at every look; only kinds that know versions are
        asked to tell."""
        far.remote.fill(ROWS)
        (result,) = far.observe()
        if not result.version:
            pytest.skip("this source says nothing of its version")
        assert far.observe({"*": (result.path, result.version)}) == ()
        far.remote.fill(made(3))
        (again,) = far.observe({"*": (result.path, result.version)})
        assert again.version != result.version

    # -- what has changed is held

    def test_drift_is_held(self, far: RemoteBench) -> None:
        """Would catch: a renamed column read as NULL, a new one dropped in silence."""
        schema = far.pinned()
        far.remote.fill([{"id": 1, "total": "1.50", "who": "ann"}])
        drift = far.take(schema)
        assert isinstance(drift, Drift), drift
        assert (drift.gone, drift.new) == (("amount",), ("total",))

    def test_values_of_another_type_are_held(self, far: RemoteBench) -> None:
        """Would catch: text that becomes NULL where a number is pinned."""
        schema = far.pinned()
        far.remote.fill([{"id": "one", "amount": "1.50", "who": "ann"}])
        drift = far.take(schema)
        assert isinstance(drift, TypeDrift | Drift), drift

    # -- what goes wrong is said, and nothing is lost

    def test_bad_bytes_are_refused(self, far: RemoteBench) -> None:
        """Would catch: noise that is parsed into rows, or an error that escapes."""
        schema = far.pinned()
        (result,) = far.observe()
        far.remote.spoil()
        try:
            outcome = far.fetch(result, schema)
        except Unavailable as error:
            self._says_no_secret(error)
        else:
            assert isinstance(outcome, UnreadableFile), outcome
        assert far.left() == []

    def test_a_refused_secret_is_access_denied_and_isnt_repeated(self, far: RemoteBench) -> None:
        """Would catch: a wrong password tried for hours (and locked), or shown in a message."""
        far.remote.fill(ROWS)
        (result,) = far.observe()
        far.remote.forbid()
        for asked in (far.observe, lambda: far.fetch(result)):
            with pytest.raises(Unavailable) as caught:
                asked()
            assert caught.value.code == "access_denied"
            assert not caught.value.transient
            self._says_no_secret(caught.value)

    def test_a_source_that_is_down_is_unavailable_and_comes_back(self, far: RemoteBench) -> None:
        """Would catch: a connection refused that is taken for `nothing there`, so that nobody is
        told."""
        far.remote.fill(ROWS)
        (result,) = far.observe()
        far.remote.go_away()
        for asked in (far.observe, lambda: far.fetch(result)):
            with pytest.raises(Unavailable) as caught:
                asked()
            assert caught.value.code == "source_unavailable"
            assert caught.value.transient
            self._says_no_secret(caught.value)
        assert far.left() == []
        far.remote.come_back()
        assert rows_of(far.take()) == as_tuples(ROWS)

    def test_a_source_that_goes_away_in_the_middle(self, far: RemoteBench) -> None:
        """Would catch: half a result published as a whole one."""
        far.remote.fill(made(3 * far.remote.page_size))
        (result,) = far.observe()
        far.remote.break_off()
        with pytest.raises(Unavailable) as caught:
            far.fetch(result)
        assert caught.value.transient
        self._says_no_secret(caught.value)
        assert far.left() == []
        far.remote.come_back()
        assert len(rows_of(far.fetch(result))) == 3 * far.remote.page_size

    def test_a_rate_limit_is_waited_for(self, far: RemoteBench) -> None:
        """Would catch: a source given up because it asked for a moment's patience."""
        far.remote.fill(ROWS)
        far.remote.limit_rate()
        (result,) = far.observe()
        far.remote.limit_rate()
        assert rows_of(far.fetch(result)) == as_tuples(ROWS)

    def test_a_page_delivered_twice_is_noticed(self, far: RemoteBench) -> None:
        """Would catch: an endless loop, and rows that are counted twice."""
        far.remote.fill(made(3 * far.remote.page_size))
        (result,) = far.observe()
        far.remote.repeat()
        outcome = far.fetch(result)
        assert isinstance(outcome, UnreadableFile), outcome
        assert far.left() == []

    def test_resume_after_a_kill(self, far: RemoteBench, tmp_path: Path) -> None:
        """Would catch: a fetch that trips over what a killed one left, or a half file that is taken
        for a whole one.
        """
        rows = made(3 * far.remote.page_size)
        far.remote.fill(rows)
        (result,) = far.observe()
        far.remote.hang()
        killed = _fetching(far, result)
        _wait_until(lambda: far.left() != [] or killed.poll() is not None)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        far.remote.come_back()
        assert list(far.bench.raw.rglob("*")) == []
        assert rows_of(far.fetch(result)) == as_tuples(rows)

    def _says_no_secret(self, error: Unavailable) -> None:
        text = f"{error} {error.args} {error.__cause__}"
        assert CANARY not in str(error), text


def _fetching(far: RemoteBench, result: DetectedDelivery) -> subprocess.Popen[bytes]:
    """A fetch in a process of its own."""
    told = msgspec.json.encode(
        (far.remote.source, dict(far.remote.connection), result, str(far.bench.temporary))
    ).decode()
    return subprocess.Popen([sys.executable, __file__, told])


def _wait_until(happened: Any) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "nothing temporary was ever written"
        time.sleep(0.02)


def _fetch_alone(told: str) -> None:
    source, connection, result, temporary = msgspec.json.decode(
        told, type=tuple[Source, dict[str, Any], DetectedDelivery, str]
    )
    access = Access(
        source=source,
        connection=connection,
        secrets=Secrets(Path(temporary)),
        project=Path(temporary),
        temporary=Path(temporary),
        now_us=0,
    )
    connector_of(source).fetch(access, result)


if __name__ == "__main__":
    _fetch_alone(sys.argv[1])
