"""Observation of a local file source: which files match its pattern, are new or changed, or still
being written.

Runs in the leader: it lists folders and reads file sizes and times. It opens only files that are
seconds old, to see whether their end has been written. Names and links are untrusted input: paths
that leave the project are refused.
"""

from __future__ import annotations

import os
import stat
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from headrace.connect.connectors import is_routed_by_rows
from headrace.connect.deliveries import (
    DeliveryPart,
    DetectedDelivery,
    Note,
    Observation,
    Settling,
    printable,
)
from headrace.connect.patterns import KEY, Component, Pattern, compile_pattern, key_of, said_by
from headrace.model.common_fields import KEY_CHARACTERS_MAX
from headrace.model.errors import NotBuilt, UsageError
from headrace.model.nodes import Grain, Source
from headrace.model.partitions import join

# Whether a file is still being written: decided by the time since its last change and by its last
# bytes. Nothing is parsed here.

QUIET_SECONDS = 1.0
"""Seconds without a change after which a file with a complete end is ingested."""
QUIET_LONG_SECONDS = 3.0
"""Seconds without a change after which any other file is ingested, complete or not.

Reading it reports what is wrong with it.
"""
FUTURE_SECONDS = 60.0
"""60 s: a modification time further in the future isn't clock skew.

Such a file counts as settled.
"""
GZIP_WHOLE_BYTES = 4 * 1024 * 1024
"""4 MiB: gzip files up to this size are decompressed to find their end; larger ones wait longer."""
ZIP_END_BYTES = 22 + 65_535


def seconds_to_wait(path: Path, size_bytes: int, quiet_seconds: float) -> float:
    """Return the seconds that `path` must still stay unchanged before ingestion; 0.0 if settled.

    `quiet_seconds` is the real clock's now minus the file's modification time. The file is opened
    only if that time alone doesn't decide.
    """
    if quiet_seconds >= QUIET_LONG_SECONDS or quiet_seconds < -FUTURE_SECONDS:
        return 0.0
    if not ends(path, size_bytes):
        return QUIET_LONG_SECONDS - quiet_seconds
    return max(0.0, QUIET_SECONDS - quiet_seconds)


def ends(path: Path, size_bytes: int) -> bool:
    """Whether the last bytes look like an end.

    That is a newline, Parquet's magic, a zip's directory or a gzip's trailer.
    """
    if size_bytes == 0:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(6)
            if start.startswith(b"\x1f\x8b"):
                return size_bytes <= GZIP_WHOLE_BYTES and _gzip_ends(
                    start + file.read(GZIP_WHOLE_BYTES)
                )
            if start.startswith(b"\x28\xb5\x2f\xfd"):  # zstd: only reading all frames shows the end
                return False
            file.seek(max(0, size_bytes - ZIP_END_BYTES))
            tail = file.read(ZIP_END_BYTES + 1)
    except OSError:
        return False
    if start.startswith(b"PK\x03\x04"):
        return _zip_ends(tail)
    if start.startswith(b"PAR1"):
        return size_bytes > 8 and tail.endswith(b"PAR1")
    return tail.endswith((b"\n", b"\r"))


def _zip_ends(tail: bytes) -> bool:
    """Whether the directory's last record is complete with its comment, and nothing follows it."""
    at = tail.rfind(b"PK\x05\x06")
    return (
        at >= 0
        and len(tail) >= at + 22
        and len(tail) == at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little")
    )


def _gzip_ends(data: bytes) -> bool:
    """Whether every gzip member of `data` is complete, checksum included.

    The output is dropped at once, so a decompression bomb costs time, not memory.
    """
    budget = 64 * GZIP_WHOLE_BYTES
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            while not stream.eof:
                output = stream.decompress(data, 1 << 20)
                budget -= len(output)
                if budget < 0 or (not output and not stream.unconsumed_tail and not stream.eof):
                    return False
                data = stream.unconsumed_tail
        except zlib.error:
            return False
        data = stream.unused_data.lstrip(b"\0")
    return True


WHOLE = "*"
NOTES_MAX = 100
"""Maximum number of warnings per observation: a folder of bad names must not fill the state."""


class _Match(NamedTuple):
    """A matching name, before the file itself is inspected.

    `path` is relative; `parts` holds the parts of the date and the key.
    """

    path: str
    entry: os.DirEntry[str]
    parts: dict[str, str]


class _Seen(NamedTuple):
    delivery: DetectedDelivery
    entry: os.DirEntry[str]


def observe(  # complexipy: ignore (which files are ready, one condition after the other)
    root: Path,
    source: Source,
    *,
    known: Mapping[str, tuple[int, int]],
    finished: Mapping[str, tuple[int, int]] = {},
    now_us: int | None = None,
) -> Observation:
    """Observe the files of `source` below `root`, compared with `known`.

    `known` maps a path to its size in bytes and modification time in µs when it was last ingested,
    `finished` those of files that their writers have closed: with a complete end they are settled.
    `now_us` is the *real* clock (a replay's clock doesn't show whether a file is being written); it
    defaults to the time of the call. For sources routed by a column, the partition is the part that
    the file's name gives, `*` if it gives none. Raises ProjectError for an unusable pattern.
    """
    pattern = _pattern_of(source)
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    warnings = _Notes()
    real_root = Path(os.path.realpath(root))
    marker = source.complete.marker
    by_file = is_routed_by_rows(source)
    seen: dict[str, list[_Seen]] = {}
    for match in _below(real_root, "", pattern.components, {}, warnings, had=bool(known)):
        is_marker = marker is not None and match.path.endswith(marker)
        item = None if is_marker else _file_behind(real_root, source, match, warnings)
        if item:
            seen.setdefault(item.delivery.path if by_file else item.delivery.partition, []).append(
                item
            )
    deliveries, settling = [], []
    for group in sorted(seen):
        chosen = seen[group] if by_file else _one_of(source, seen[group], known, warnings)
        if not chosen:
            continue
        delivery = _together(chosen)
        if known.get(delivery.path) == (delivery.size_bytes, delivery.modified_us):
            continue
        waits = [(item.delivery.path, _wait(item, marker, finished, now_us)) for item in chosen]
        settling += [Settling(path, wait) for path, wait in waits if wait]
        if all(wait == 0.0 for _, wait in waits):
            deliveries.append(delivery)
    files = sum(map(len, seen.values()))
    return Observation(
        tuple(deliveries),
        tuple(settling),
        tuple(warnings.kept),
        seen=files,
        unlisted=warnings.unlisted,
    )


def _pattern_of(source: Source) -> Pattern:
    if source.files is None:
        raise NotBuilt(
            f"source {source.name} isn't a file source",
            hint="only `files:` can be observed so far",
        )
    return compile_pattern(
        source.files,
        source.partition.grain,
        rows_have_partition=source.partition.column is not None,
    )


class _Notes:
    """Warnings of one observation: at most NOTES_MAX, and a last one that counts the rest."""

    def __init__(self) -> None:
        self.kept: list[Note] = []
        self.unlisted: Note | None = None
        self._more = 0

    def cannot_list(self, code: str, folder: str, why: str) -> None:
        """Record that a folder can't be listed; only the first of several is kept."""
        self.unlisted = self.unlisted or Note(
            code, printable(folder, 200), f"{printable(folder)} {why}"
        )

    def add(self, code: str, path: str, message: str) -> None:
        if len(self.kept) < NOTES_MAX:
            self.kept.append(Note(code, printable(path, 200), message))
            return
        self._more += 1
        last = Note(code, "", f"and {self._more:,} more files that aren't taken")
        self.kept[NOTES_MAX:] = [last]


def _below(
    root: Path,
    folder: str,
    components: tuple[Component, ...],
    parts: dict[str, str],
    warnings: _Notes,
    *,
    had: bool,
) -> Iterator[_Match]:
    """Yield files whose names match, in no particular order.

    Only folders with placeholders in their names are listed. `had`: whether there were files
    before.
    """
    depth = 0
    while len(components) > depth + 1 and components[depth].fixed is not None:
        depth += 1
    folder = "/".join(
        filter(None, (folder, *(str(component.fixed) for component in components[:depth])))
    )
    here, rest = components[depth], components[depth + 1 :]
    for entry in _listed(root, folder, warnings, had=had):
        name_parts = said_by(here, entry.name, parts)
        if name_parts is None:
            continue
        path = f"{folder}/{entry.name}" if folder else entry.name
        if not rest:
            yield _Match(path, entry, name_parts)
        elif entry.is_dir():
            yield from _below(root, path, rest, name_parts, warnings, had=False)


def _listed(root: Path, folder: str, warnings: _Notes, *, had: bool) -> Iterator[os.DirEntry[str]]:
    """Yield the folder's entries.

    A missing folder has none, unless it `had` files: then its disk is gone, or somebody moved it. A
    folder outside the project or one that can't be listed causes a warning.
    """
    place = root / folder
    real = Path(os.path.realpath(place))
    if not real.is_relative_to(root):
        warnings.add(
            "delivery_outside_project",
            folder,
            f"{printable(folder)} leads out of the project; nothing in it is taken",
        )
        return
    try:
        with os.scandir(place) as entries:
            yield from entries
    except FileNotFoundError:
        if had:
            warnings.cannot_list("source_unavailable", folder, "isn't there any more")
    except NotADirectoryError:
        if had:
            warnings.cannot_list("source_unavailable", folder, "isn't a folder any more")
    except PermissionError as error:
        warnings.cannot_list("access_denied", folder, f"can't be listed: {error.strerror}")
    except OSError as error:
        warnings.cannot_list("source_unavailable", folder, f"can't be listed: {error.strerror}")


def _file_behind(root: Path, source: Source, match: _Match, warnings: _Notes) -> _Seen | None:
    """Return the file of a matching name; None if it can't be ingested.

    It must be a regular file inside the project, and its name must give a valid partition.
    """
    try:
        match.path.encode()
    except UnicodeEncodeError:
        warnings.add("delivery_name", match.path, f"{printable(match.path)}: the name isn't UTF-8")
        return None
    if match.entry.is_symlink() and not Path(os.path.realpath(root / match.path)).is_relative_to(
        root
    ):
        warnings.add(
            "delivery_outside_project",
            match.path,
            f"{printable(match.path)} is a link that leads out of the project",
        )
        return None
    try:
        facts = match.entry.stat()
    except OSError:  # deleted since it was listed, or a link to nothing
        return None
    if not stat.S_ISREG(facts.st_mode):
        warnings.add(
            "delivery_not_a_file", match.path, f"{printable(match.path)} isn't a regular file"
        )
        return None
    partition = _named(source, match, warnings)
    if partition is None:
        return None
    return _Seen(
        DetectedDelivery(
            source.name, partition, match.path, facts.st_size, facts.st_mtime_ns // 1000
        ),
        match.entry,
    )


def _named(source: Source, match: _Match, warnings: _Notes) -> str | None:
    """Return the partition in the file's name, `*` if it has none.

    None for an invalid date or key.
    """
    grain, files = source.partition.grain, source.files or ""
    date = tuple((name, value) for name, value in match.parts.items() if name != "key")
    try:
        interval = (
            _partition_of(date, grain, source.timezone or "UTC")
            if grain and "{date:" in files
            else ""
        )
    except (ValueError, OverflowError, UsageError):
        warnings.add(
            "delivery_date", match.path, f"{printable(match.path)}: there is no such {grain}"
        )
        return None
    key = match.parts.get("key", "")
    if KEY in files and (problem := unusable_key(key, source.partition.values)):
        warnings.add("delivery_key", match.path, f"{printable(match.path)}: {problem}")
        return None
    return join(interval, key) or WHOLE


def unusable_key(key: str, values: tuple[str, ...] | None) -> str | None:
    """Return why a text can't be a source's key, as a clause; None if it can.

    A key may hold any other characters: it is data.
    """
    if not key:
        return "the key is empty"
    if key == WHOLE:
        return "`*` means everything, and can't be a key"
    if len(key) > KEY_CHARACTERS_MAX:
        return (
            f"the key {printable(key, 20)} has {len(key):,} characters; at most"
            f" {KEY_CHARACTERS_MAX:,} are one"
        )
    if values is not None and key not in values:
        return f"{printable(key)} isn't one of the keys that `values` lists"
    return None


@lru_cache(maxsize=200_000)
def _partition_of(parts: tuple[tuple[str, str], ...], grain: Grain, zone: str) -> str:
    """Cached, because each observation sees all files again."""
    return key_of(dict(parts), grain, zone)


def _one_of(
    source: Source, candidates: list[_Seen], known: Mapping[str, tuple[int, int]], warnings: _Notes
) -> list[_Seen]:
    """Return the files of one interval to ingest, if there are as many as expected.

    If there are more than the one expected, the one that was ingested before is chosen, else none.
    """
    expected = source.complete.files
    if len(candidates) == expected:
        return sorted(candidates, key=lambda item: item.delivery.path)
    if len(candidates) < expected:
        first = min(candidate.delivery.path for candidate in candidates)
        if first not in known:
            warnings.add(
                "delivery_incomplete",
                first,
                f"{candidates[0].delivery.partition}: {len(candidates)} of {expected} files",
            )
        return []
    ingested = [candidate for candidate in candidates if candidate.delivery.path in known]
    _note_several(expected, candidates, ingested, warnings)
    return ingested if len(ingested) == expected == 1 else []


def _note_several(
    expected: int, candidates: list[_Seen], taken: list[_Seen], notes: _Notes
) -> None:
    names = sorted(candidate.delivery.path for candidate in candidates)
    partition = candidates[0].delivery.partition
    which = "the source" if partition == WHOLE else partition
    listing = ", ".join(map(printable, names[:3]))
    if len(names) > 3:
        listing += f" and {len(names) - 3} more"
    left = "one is" if expected == 1 else f"{expected} are"
    consequence = (
        f"; only {printable(taken[0].delivery.path)}, taken before, is read"
        if len(taken) == 1
        else f"; none is taken until {left} left"
    )
    notes.add(
        "several_deliveries",
        names[0],
        f"{len(names)} files match for {which}, {expected} expected: {listing}{consequence}",
    )


def _together(chosen: list[_Seen]) -> DetectedDelivery:
    """Return one delivery of these files: the first path, the sum of the sizes, the latest time."""
    if len(chosen) == 1:
        return chosen[0].delivery
    files = [item.delivery for item in chosen]
    return DetectedDelivery(
        files[0].source,
        files[0].partition,
        files[0].path,
        sum(file.size_bytes for file in files),
        max(file.modified_us for file in files),
        parts=tuple(DeliveryPart(file.path, file.size_bytes, file.modified_us) for file in files),
    )


def _wait(
    item: _Seen, marker: str | None, finished: Mapping[str, tuple[int, int]], now_us: int
) -> float | None:
    """Return the seconds without a change still needed; None while the marker file is missing."""
    delivery = item.delivery
    if marker:
        marked = _marker_time(Path(item.entry.path), marker)
        if marked is None:
            return None
        if marked >= delivery.modified_us:
            return 0.0
    closed = finished.get(delivery.path) == (delivery.size_bytes, delivery.modified_us)
    if closed and ends(Path(item.entry.path), delivery.size_bytes):
        return 0.0
    return seconds_to_wait(
        Path(item.entry.path), delivery.size_bytes, (now_us - delivery.modified_us) / 1e6
    )


def _marker_time(file: Path, marker: str) -> int | None:
    """Return when `<name><marker>` or `<name without ending><marker>` was written, in µs.

    None if neither exists.
    """
    for name in (file.name + marker, file.name.partition(".")[0] + marker):
        try:
            return (file.parent / name).stat().st_mtime_ns // 1000
        except (OSError, ValueError):
            continue
    return None
