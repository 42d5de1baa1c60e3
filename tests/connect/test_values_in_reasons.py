"""Why a delivery is held or rejected, for somebody who may not read rows: without its values."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.connect.connectors import Unavailable, _Added
from headrace.connect.deliveries import (
    AlmostTyped,
    BadColumn,
    CannotRead,
    Disagreement,
    error_text,
)
from headrace.connect.formats.records import RecordFormat
from headrace.connect.formats.text_values import drift_of
from headrace.connect.raw_files import Opened
from headrace.connect.row_partitions import _in_no_interval
from headrace.model import Grain, PartitionSpec, Place, Source, plugins
from headrace.model.plugins import Plugin
from headrace.model.texts import hidden, plain

SOURCE = Source(
    name="people",
    owner="x",
    place=Place(file=""),
    partition=PartitionSpec(grain=Grain.DAY, column="born"),
)


@pytest.mark.parametrize(
    "reason",
    [
        drift_of([BadColumn("age", "BIGINT", 3, "secret; it's", 7)]).reason,
        Disagreement("a.csv", "age", "BIGINT", "secret", 7).text,
        AlmostTyped("age", "BIGINT", 9, 10, "a.csv", "secret", 7).text,
        AlmostTyped("age", "DOUBLE", 9, 10, "a.csv", "secret", 7, comma=True).text,
        f"can't be read: {error_text(ValueError('Conversion Error: secret'), '/a.csv')}",
        str(_in_no_interval("secret", SOURCE)),
    ],
)
def test_a_reason_is_readable_without_its_value(reason: str) -> None:
    """Would catch: a value in a reason that isn't marked, so that it is shown to everybody."""
    assert "secret" in plain(reason)
    assert "secret" not in hidden(reason) and "…" in hidden(reason)


def test_values_of_classified_columns_are_in_nobodys_reason() -> None:
    drift = drift_of([BadColumn("age", "BIGINT", 3, "secret", 7), BadColumn("b", "DATE", 1, "x")])
    left = drift.without_values({"age"})
    assert plain(left.reason) == (
        "column age: first value that isn't BIGINT at line 7, 3 rows;"
        " column b: first value that isn't DATE: 'x', 1 row"
    )


class Failing(RecordFormat):
    name = "till"

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {"salary": int("secret")}


def test_what_a_package_raises_names_the_package_and_no_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Would catch: an exception of a package, which quotes a value, in everybody's incidents."""
    package = Plugin(group="", name="till", package="tills 1.0", target="tills:Till")
    monkeypatch.setattr(plugins, "plugins", lambda _: (package,))
    kind: Any = Failing()
    with pytest.raises(CannotRead) as of_format:
        list(kind._lines(Opened(str(tmp_path), "a.till")))
    kind.observe = lambda *_: int("secret")
    with pytest.raises(Unavailable) as of_source:
        _Added(kind).observe(*[kind] * 3)
    for raised in (of_format, of_source):
        shown = hidden(str(raised.value))
        assert "of the installed package tills 1.0 can't be used: ValueError: …" in shown
        assert "'secret'" in plain(str(raised.value))


def _refused() -> None:
    raise Unavailable("asked too often", code="access_denied", transient=False, throttled=True)


def _unreadable() -> None:
    raise CannotRead("no rows", line=3)


def _full() -> None:
    raise OSError(errno.ENOSPC, "the disk is full")


@pytest.mark.parametrize("raised", [_refused, _unreadable, _full])
def test_what_a_source_of_a_package_says_of_itself_is_kept(
    raised: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server's pause, a file that can't be read or a full disk that is reported as a
    broken package, and counted as a source that can't be reached.
    """
    package = Plugin(group="", name="till", package="tills 1.0", target="tills:Till")
    monkeypatch.setattr(plugins, "plugins", lambda _: (package,))
    kind: Any = Failing()
    kind.fetch = lambda *_: raised()
    with pytest.raises((Unavailable, CannotRead, OSError)) as error:
        _Added(kind).fetch(kind, kind)
    with pytest.raises(type(error.value)) as own:
        raised()
    assert str(error.value) == str(own.value)
    assert vars(error.value) == vars(own.value)
