from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine import logs
from headrace.engine.isolation import Capture, LogListener
from headrace.engine.logs import LogFile, LogLine, OutputPipes, Splitter, WorkerClock, read, safe
from headrace.security.secrets import Redactor

NOW_US = 1_360_800_000_000_000


@pytest.fixture
def channel() -> Iterator[OutputPipes]:
    made = OutputPipes.open()
    yield made
    for fd in made.ends:
        with contextlib.suppress(OSError):
            os.close(fd)


def captured(path: Path, channel: OutputPipes, work: Callable[[], object]) -> list[LogLine]:
    with Capture(channel, LogFile(path, WorkerClock(NOW_US))):
        work()
    return list(read(path))


def process_output() -> tuple[object, ...]:
    """Where the output of this process goes."""
    files = [(status.st_dev, status.st_ino) for status in map(os.fstat, (1, 2))]
    return files, sys.stdout, sys.stderr


def test_what_is_printed_by_any_means_is_caught(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: output of C code or of children, which never passes `sys.stdout`; text without
    an end of line.
    """

    def work() -> None:
        print("python")
        print("errors", file=sys.stderr)
        os.write(1, b"descriptor\n")
        subprocess.run(["sh", "-c", "echo child; echo child errors >&2"], check=True)
        sys.stdout.write("no end")

    lines = captured(tmp_path / "l.jsonl", channel, work)
    assert {(line.stream, line.text) for line in lines} == {
        ("stdout", "python"),
        ("stderr", "errors"),
        ("stdout", "descriptor"),
        ("stdout", "child"),
        ("stderr", "child errors"),
        ("stdout", "no end"),
    }
    assert [line.text for line in lines if line.stream == "stdout"] == [
        "python",
        "descriptor",
        "child",
        "no end",
    ]
    assert all(
        line.level == "info" and NOW_US <= line.at_us < NOW_US + 60_000_000 for line in lines
    )


def test_nothing_printed_makes_no_file(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: an empty file for each of a thousand quiet attempts."""
    assert captured(tmp_path / "1" / "l.jsonl", channel, lambda: None) == []
    assert not (tmp_path / "1").exists()


def test_pythons_logging_keeps_its_levels(
    tmp_path: Path, channel: OutputPipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: levels lost, lines twice, a broken format string that fails the body, the root
    logger left changed.
    """

    def work() -> None:
        logger = logging.getLogger("mine")
        logger.debug("not asked for")
        logger.info("hello %s", "you")
        logger.warning("two\nlines")
        logger.error("%d things", "no number")
        logging.basicConfig(level=logging.INFO)
        logger.critical("once")

    monkeypatch.setattr(
        logging.root, "handlers", []
    )  # pytest's own handler raises for what can't be formatted
    before = (logging.root.level, list(logging.root.handlers))
    lines = captured(tmp_path / "l.jsonl", channel, work)
    assert [(line.level, line.text) for line in lines] == [
        ("info", "hello you"),
        ("warning", "two"),
        ("warning", "lines"),
        ("error", "'%d things' ('no number',)"),
        ("critical", "once"),
    ]
    assert (logging.root.level, logging.root.handlers) == before


def test_a_level_that_a_body_asks_for_is_its_own(
    tmp_path: Path, channel: OutputPipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: the next attempt flooded by what another asked for; every logger's memory
    emptied by each attempt, and the root logger of who captures left changed."""
    changes: list[int] = []
    set_level = logging.root.setLevel
    monkeypatch.setattr(
        logging.root, "setLevel", lambda level: (changes.append(level), set_level(level))
    )
    before, listener, logger = logging.root.level, LogListener(channel), logging.getLogger("mine")

    def attempt(n: int, level: int | None) -> list[str]:
        with Capture(channel, LogFile(tmp_path / f"{n}.jsonl", WorkerClock(NOW_US)), listener):
            if level is not None:
                set_level(level)
            logger.debug("details")
            logger.info("it")
        return [line.text for line in read(tmp_path / f"{n}.jsonl")]

    assert [
        attempt(n, level) for n, level in enumerate([logging.DEBUG, None, logging.ERROR, None])
    ] == [
        ["details", "it"],
        ["it"],
        [],
        ["it"],
    ]
    assert changes == [logging.INFO] * 3
    listener.close()
    assert logging.root.level == before


def test_what_a_body_disables_is_disabled_for_itself_only(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: an asset whose `logging.disable()` silences all later attempts of its worker."""
    before, listener, logger = logging.root.manager.disable, LogListener(channel), logging.root

    def attempt(n: int, level: int | None) -> list[str]:
        with Capture(channel, LogFile(tmp_path / f"{n}.jsonl", WorkerClock(NOW_US)), listener):
            if level is not None:
                logging.disable(level)
            logger.info("it")
            logger.error("wrong")
        return [line.text for line in read(tmp_path / f"{n}.jsonl")]

    levels = [logging.CRITICAL, None, logging.INFO, None]
    assert [attempt(n, level) for n, level in enumerate(levels)] == [
        [],
        ["it", "wrong"],
        ["wrong"],
        ["it", "wrong"],
    ]
    listener.close()
    assert logging.root.manager.disable == before


def test_an_attempt_gets_its_own_lines_only(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: what somebody prints between two attempts given to the second."""
    captured(tmp_path / "1.jsonl", channel, lambda: print("first"))
    os.write(channel.stdout_write, b"in between\n")
    assert [
        line.text for line in captured(tmp_path / "2.jsonl", channel, lambda: print("second"))
    ] == ["second"]


@pytest.mark.parametrize(
    "spoil",
    [
        "sys.stdout.close()",
        "os.close(1)",
        "sys.stdout = None",
        "os.dup2(os.open('/dev/null', 1), 1)",
        "del sys.stdout",
    ],
)
def test_a_body_that_spoils_its_output_spoils_only_its_own(
    tmp_path: Path, channel: OutputPipes, spoil: str
) -> None:
    """Would catch: a worker that is deaf, or that breaks, after one body closed its output."""

    def work() -> None:
        print("before")
        exec(spoil)

    assert [line.text for line in captured(tmp_path / "1.jsonl", channel, work)] == ["before"]
    assert [
        line.text for line in captured(tmp_path / "2.jsonl", channel, lambda: print("after"))
    ] == ["after"]


@pytest.mark.parametrize(
    "spoil",
    [
        "pass",
        "sys.stdout.close()",
        "sys.stdout.detach()",
        "sys.stdout = None",
        "del sys.stderr",
        "os.close(2)",
        "sys.stdout.reconfigure(encoding='ascii', errors='strict')",
        "sys.stdout.reconfigure(line_buffering=False)",
        "io.TextIOWrapper(sys.stdout.buffer)",
        "sys.stdout.buffer.raw.close()",
        "sys.stdout.write = len",
        "sys.stdout.write('no end'); sys.stdout = sys.stderr",
        "logging.root.handlers[-1].setLevel(logging.CRITICAL)",
        "logging.root.handlers[-1].setFormatter(logging.Formatter('%(name)s'))",
        "logging.root.handlers[-1].addFilter(lambda record: False)",
        "logging.root.handlers[-1].emit = repr",
        "logging.root.handlers[-1].close()",
        "logging.root.handlers[-1].end = 1 / 2",
        "logging.root.handlers[-1].filters = (len,)",
        "logging.root.handlers[-1].__class__ = logging.StreamHandler",
        "logging.root.handlers.clear()",
        "logging.root.handlers = ()",
    ],
)
def test_a_worker_gives_the_next_attempt_good_streams(
    tmp_path: Path, channel: OutputPipes, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    """Would catch: streams and the logging handler that are lent again after a body changed them,
    so that the next attempt's lines are lost, are its predecessor's, or raise.
    """
    monkeypatch.setattr(logging.root, "handlers", [])
    before = process_output()
    listener, logger = LogListener(channel), logging.getLogger("mine")
    for n in range(3):
        with Capture(channel, LogFile(tmp_path / f"{n}.jsonl", WorkerClock(NOW_US)), listener):
            if n == 1:
                exec(spoil)
            else:
                print(f"é {n}")
                print("error", file=sys.stderr)
                logger.info("logged")
    listener.close()
    assert process_output() == before
    for n in (0, 2):
        lines = {(line.stream, line.text) for line in read(tmp_path / f"{n}.jsonl")}
        assert lines == {("stdout", f"é {n}"), ("stderr", "error"), ("log", "logged")}


def test_no_attempt_gets_objects_that_another_had(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: settings that can't be read back, such as the end of lines of a stream, lent to
    the next attempt."""
    listener, lent = LogListener(channel), []
    for n in range(3):
        with Capture(channel, LogFile(tmp_path / f"{n}.jsonl", WorkerClock(NOW_US)), listener):
            lent += [sys.stdout, sys.stderr, sys.stdout.buffer, logging.root.handlers[-1]]
    listener.close()
    assert len({id(item) for item in lent}) == 12


def test_a_wrapper_of_an_earlier_attempt_does_not_close_the_streams_of_a_later_one(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: "I/O operation on closed file" of an asset that only prints, because the garbage
    collector finalised what the asset before had wrapped around its `sys.stdout`."""
    listener = LogListener(channel)
    with Capture(channel, LogFile(tmp_path / "1.jsonl", WorkerClock(NOW_US)), listener):
        wrappers = [io.TextIOWrapper(stream.buffer) for stream in (sys.stdout, sys.stderr)]
    with Capture(channel, LogFile(tmp_path / "2.jsonl", WorkerClock(NOW_US)), listener):
        wrappers.clear()
        print("printed")
        print("error", file=sys.stderr)
    listener.close()
    lines = {(line.stream, line.text) for line in read(tmp_path / "2.jsonl")}
    assert lines == {("stdout", "printed"), ("stderr", "error")}


def test_text_of_a_stream_that_a_body_replaced_is_in_its_own_log(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: text without an end of line that is lost, or is in the log of the attempt in
    which the stream is finalised."""
    listener, streams = LogListener(channel), []
    with Capture(channel, LogFile(tmp_path / "1.jsonl", WorkerClock(NOW_US)), listener):
        sys.stdout.write("no end")
        streams.append(sys.stdout)
        sys.stdout = sys.stderr
    with Capture(channel, LogFile(tmp_path / "2.jsonl", WorkerClock(NOW_US)), listener):
        streams.clear()
    listener.close()
    assert [line.text for line in read(tmp_path / "1.jsonl")] == ["no end"]
    assert list(read(tmp_path / "2.jsonl")) == []


def test_a_capture_that_cannot_begin_leaves_the_process_as_it_was(
    tmp_path: Path, channel: OutputPipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: descriptors 1 and 2 that lead into the pipes of a worker for good, and a thread
    that nobody ends."""

    def refuse(record: logging.Handler) -> None:
        raise AttributeError("refused")

    def state() -> tuple[object, ...]:
        return *process_output(), len([*Path("/dev/fd").iterdir()]), threading.active_count()

    before = state()
    monkeypatch.setattr(logging.root, "addHandler", refuse)
    with (
        pytest.raises(AttributeError, match="refused"),
        Capture(channel, LogFile(tmp_path / "1.jsonl", WorkerClock(NOW_US))),
    ):
        pass
    assert state() == before
    monkeypatch.undo()
    lines = captured(tmp_path / "2.jsonl", channel, lambda: print("printed"))
    assert [line.text for line in lines] == ["printed"]


def test_a_thread_that_logs_after_its_attempt_writes_nowhere(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: a handler that still writes into the log of an attempt that has ended."""
    listener = LogListener(channel)
    with Capture(channel, LogFile(tmp_path / "1.jsonl", WorkerClock(NOW_US)), listener):
        handler = logging.root.handlers[-1]
    handler.emit(logging.LogRecord("mine", logging.INFO, "file", 1, "late", (), None))
    listener.close()
    assert not (tmp_path / "1.jsonl").exists()


def test_printing_without_end_is_cut_and_said(
    tmp_path: Path, channel: OutputPipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a disk or a memory that one body fills, an attempt that blocks on a full pipe,
    the last words lost."""
    monkeypatch.setattr(logs, "LINES_MAX", 1_000)
    path = tmp_path / "l.jsonl"

    def work() -> None:
        for number in range(300_000):
            os.write(1, b"line %d\n" % number)

    lines = captured(path, channel, work)
    texts = [line.text for line in lines]
    assert texts[:1000] == [f"line {number}" for number in range(1_000)]
    assert "only the last lines are kept" in texts[1000]
    assert texts[1001] == f"{300_000 - 1_000 - logs.LAST_LINES_MAX} lines dropped"
    assert texts[1002:] == [
        f"line {number}" for number in range(300_000 - logs.LAST_LINES_MAX, 300_000)
    ]
    assert path.stat().st_size < 300_000


def test_output_without_end_does_not_slow_a_body_down(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: looking at each of fifteen million lines that nobody will see: 24 s of this
    process instead of 0.2."""
    path = tmp_path / "l.jsonl"
    began = time.process_time()
    lines = captured(
        path,
        channel,
        lambda: subprocess.run("yes | head -c 30000000; echo the last", shell=True, check=True),
    )
    assert time.process_time() - began < 6
    assert lines[-1].text == "the last"
    (dropped,) = [line.text for line in lines if line.text.endswith("lines dropped")]
    assert int(dropped.split()[0]) + logs.LINES_MAX + logs.LAST_LINES_MAX == pytest.approx(
        15_000_001, rel=1e-3
    )
    assert sum("only the last lines are kept" in line.text for line in lines) == 1
    assert path.stat().st_size < 2 * logs.BYTES_MAX


def test_bytes_are_limited_too(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: few lines of any length; 1 GB in one line."""
    path = tmp_path / "l.jsonl"

    def work() -> None:
        for _ in range(100):
            os.write(1, b"x" * 1_000_000)
        os.write(1, b"\n")
        for _ in range(2_000):
            os.write(1, b"\x01" * 8_000 + b"\n")

    lines = captured(path, channel, work)
    assert lines[0].text.endswith(f"… ({100_000_000 - logs.LINE_BYTES_MAX} bytes more)")
    assert path.stat().st_size < logs.BYTES_MAX + 60 * 8 * logs.LINE_BYTES_MAX
    assert any("lines dropped" in line.text for line in lines)


def test_a_child_that_goes_on_printing_does_not_hold_the_attempt(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: waiting for the end of a pipe that somebody else holds open."""
    children: list[subprocess.Popen[bytes]] = []
    started = time.monotonic()
    lines = captured(
        tmp_path / "l.jsonl", channel, lambda: children.append(subprocess.Popen(["yes"]))
    )
    assert time.monotonic() - started < 20
    assert all(set(line.text) == {"y"} for line in lines if line.stream == "stdout")
    children[0].kill()
    children[0].wait()


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        (b"a\r\nb\n", ["a", "b"]),
        (b" 10%\r 20%\r100%\n", [" 10%", " 20%", "100%"]),
        (b"\xff\xfe caf\xc3\xa9\n", ["\\xff\\xfe café"]),
        (b"nul \x00 bell \x07 tab\t.\n", ["nul \\x00 bell \\x07 tab\t."]),
        (b"\x1b[31mred\x1b[0m \x9b31m\n", ["\\x1b[31mred\\x1b[0m \\x9b31m"]),
        (
            "turned \u202e round \u2066 line \u2028 sep \x85 nel\n".encode(),
            ["turned \\u202e round \\u2066 line \\u2028 sep \\x85 nel"],
        ),
        (b'{"at_us": 1, "text": "forged"}\n', ['{"at_us": 1, "text": "forged"}']),
    ],
)
def test_text_from_outside_is_safe_to_print(
    tmp_path: Path, channel: OutputPipes, raw: bytes, texts: list[str]
) -> None:
    """B18. Would catch: a log that moves the cursor, hides lines, forges entries, or can't be read again
    (TRUST A8)."""
    assert [
        line.text for line in captured(tmp_path / "l.jsonl", channel, lambda: os.write(1, raw))
    ] == texts


def test_characters_that_move_or_hide_text_are_written_out() -> None:
    """Would catch: one of them left as it is, or a neighbour that people write escaped."""
    hidden = "\n\x1f\x7f\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff"
    for character in [*hidden, "\ud800", "\udfff"]:
        code = ord(character)
        assert safe(character) == (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    shown = "\t ~\xa0\u061b\u061d\u200d\u2010\u2027\u202f\u2065\u206a\ufefe\uff00\ud7ff\ue000"
    assert safe(shown + "\n") == shown + "\\x0a"


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_lines_do_not_depend_on_how_bytes_arrive(pieces: list[bytes]) -> None:
    """Would catch: a line split or joined where two reads meet; a character that is escaped because
    it was cut in two."""
    whole, cut = Splitter(), Splitter()
    expected = [*whole.feed(b"".join(pieces)), *([whole.rest()] if whole.pending else [])]
    result = [line for piece in pieces for line in cut.feed(piece)] + (
        [cut.rest()] if cut.pending else []
    )
    assert result == expected
    assert not any(safe(line) != safe(safe(line)) for line in result)
    assert all(
        character == "\t" or character.isprintable() or character.isspace() or ord(character) > 0x9F
        for line in result
        for character in safe(line)
    )


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    """Would catch: two writers' lines mixed into one."""
    file = LogFile(tmp_path / "l.jsonl", WorkerClock(NOW_US))
    threads = [
        threading.Thread(
            target=lambda n=n: [file.write("stdout", "info", f"{n} {i}") for i in range(500)]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert len(read(file.path)) == 2_000 == file.lines


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    """Would catch: a log that can't be read because its writer died."""
    path = tmp_path / "l.jsonl"
    path.write_bytes(
        b'{"at_us":1,"stream":"stdout","level":"info","text":"whole"}\n{"at_us":2,"stream":"std'
    )
    assert [line.text for line in read(path)] == ["whole"]
    assert list(read(tmp_path / "none.jsonl")) == []


WORKER = """
import os, sys
from pathlib import Path
from headrace.engine.isolation import Capture, LogListener
from headrace.engine.logs import OutputPipes, WorkerClock, LogFile
channel = OutputPipes(*map(int, sys.argv[2:8]))
with Capture(channel, LogFile(Path(sys.argv[1]), WorkerClock(0))) as capture:
    print("said at once")
    {deed}
"""


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("os.write(1, b'last words\\n' * 3); os._exit(3)", 3),
        ("os.write(2, b'last words\\n' * 1000); os.kill(os.getpid(), 9)", 1000),
        ("import ctypes; os.write(1, b'last words\\n'); ctypes.string_at(0)", 1),
    ],
    ids=["exit", "kill", "segfault"],
)
def test_what_was_printed_before_a_crash_is_kept(
    tmp_path: Path, channel: OutputPipes, deed: str, said: int
) -> None:
    """Would catch: the last lines, which say why, gone with the process: the thread may or may not
    have read them."""
    path = tmp_path / "1.jsonl"
    arguments = [str(path), *map(str, channel.ends)]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER.replace("{deed}", deed), *arguments],
        pass_fds=channel.ends,
        stderr=subprocess.DEVNULL,
    )
    channel.keep_reading()
    assert worker.wait() != 0
    channel.rescue(path, NOW_US)
    assert [line.text for line in read(path)] == ["said at once"] + ["last words"] * said
    assert [left.name for left in tmp_path.iterdir()] == ["1.jsonl"]


REDACTING = """
import os, signal, sys
from pathlib import Path
from headrace.engine.isolation import Capture
from headrace.engine.logs import OutputPipes, WorkerClock, LogFile
from headrace.security.secrets import RedactedStream, Redactor
feed = RedactedStream.feed
def feed_then_end(stream, data):
    output = feed(stream, data)
    if b"last" in data:
        os.kill(os.getpid(), 9)
    return output
RedactedStream.feed = feed_then_end
log = LogFile(Path(sys.argv[1]), WorkerClock(0), Redactor(["canary-of-28"]))
with Capture(OutputPipes(*map(int, sys.argv[2:8])), log) as capture:
    os.write(1, b"first canary-of-28\\n")
    while not log.lines:
        pass
    os.write(1, b"last canary-of-28\\n")
    signal.pause()
"""


def test_what_was_read_for_secrets_is_kept_when_the_worker_ends(
    tmp_path: Path, channel: OutputPipes
) -> None:
    """Would catch: the last words of code with secrets, in the process's memory alone while they are
    redacted."""
    path = tmp_path / "1.jsonl"
    worker = subprocess.Popen(
        [sys.executable, "-c", REDACTING, str(path), *map(str, channel.ends)],
        pass_fds=channel.ends,
    )
    channel.keep_reading()
    assert worker.wait() == -signal.SIGKILL
    channel.rescue(path, NOW_US, Redactor(["canary-of-28"]))
    assert [line.text for line in read(path)] == ["first ***", "last ***"]
    assert b"canary" not in path.read_bytes()


def test_a_stopped_worker_loses_nothing_either(tmp_path: Path, channel: OutputPipes) -> None:
    """Would catch: lines in the pipe thrown away when the worker's reading thread never
    got to run.
    """
    path = tmp_path / "1.jsonl"
    child = subprocess.Popen(
        ["sh", "-c", "echo one; echo two >&2; kill -STOP $$"],
        stdout=channel.stdout_write,
        stderr=channel.stderr_write,
    )
    channel.keep_reading()
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert channel.rescue(path, NOW_US) == 2
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert {(line.stream, line.text) for line in read(path)} == {
        ("stdout", "one"),
        ("stderr", "two"),
    }
