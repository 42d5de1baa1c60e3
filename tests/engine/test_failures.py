"""What an exception says of the next try, and what the user reads of it."""

from __future__ import annotations

import errno
import os

import duckdb
import pytest

from headrace.engine import ErrorKind
from headrace.engine.attempts import (
    COMMAND_FAILED,
    LINES_LOOKED_AT,
    Limit,
    as_said,
    ended_by,
    hint_for,
    named_in,
)
from headrace.engine.compute import error_of
from headrace.engine.failures import (
    CAUSES_MAX,
    MESSAGE_CHARACTERS_MAX,
    failed,
    kind_of,
    of_duckdb,
    shortened,
    unstorable,
)
from headrace.model import HeadraceError
from headrace.model.texts import plain


def caused_by(error: BaseException, causes: int) -> BaseException:
    """An exception with that many exceptions above the first."""
    for number in range(causes):
        above = RuntimeError(f"above {number}")
        above.__cause__ = error
        error = above
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), ErrorKind.DETERMINISTIC),
        (OSError(errno.EIO, os.strerror(errno.EIO)), ErrorKind.ENVIRONMENT),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ErrorKind.ENVIRONMENT),
        (OSError(errno.EHOSTUNREACH, "no route"), ErrorKind.TRANSIENT),
        (OSError(errno.EHOSTUNREACH, "no route", "/disk/file"), ErrorKind.ENVIRONMENT),
        (duckdb.IOException(f"write: {os.strerror(errno.ENOSPC)}"), ErrorKind.ENVIRONMENT),
        (duckdb.IOException(f"read: {os.strerror(errno.EHOSTDOWN)}"), ErrorKind.ENVIRONMENT),
        (duckdb.IOException(f"open: {os.strerror(errno.EACCES)}"), ErrorKind.ENVIRONMENT),
        (duckdb.BinderException(os.strerror(errno.EACCES)), ErrorKind.DETERMINISTIC),
        (duckdb.IOException(f"open: {os.strerror(errno.EMFILE)}"), ErrorKind.RESOURCES),
        (HeadraceError(os.strerror(errno.EIO)), ErrorKind.ENVIRONMENT),
        (ValueError(os.strerror(errno.EIO)), ErrorKind.RESOURCES),
        (ValueError(os.strerror(errno.EMFILE)), ErrorKind.DETERMINISTIC),
        (duckdb.TransactionException("x"), ErrorKind.TRANSIENT),
        (duckdb.InterruptException("x"), ErrorKind.CANCELLED),
        (duckdb.OutOfMemoryException("x"), ErrorKind.RESOURCES),
        (caused_by(TimeoutError("slow"), CAUSES_MAX - 1), ErrorKind.TRANSIENT),
        (caused_by(TimeoutError("slow"), CAUSES_MAX), ErrorKind.DETERMINISTIC),
        (caused_by(MemoryError(), CAUSES_MAX - 1), ErrorKind.RESOURCES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_kind_says_whether_another_try_helps(error: BaseException, kind: ErrorKind) -> None:
    """Would catch: a full disk counted as the user's mistake; endless tries of what never
    changes; causes not followed."""
    assert kind_of(error) is kind


def test_a_limit_reached_before_counts_unless_the_code_hides_it() -> None:
    """Would catch: the limit of an exception that was raised while it was handled overlooked."""

    def raised(hidden: bool) -> BaseException:
        error = ValueError("half read")
        error.__context__, error.__suppress_context__ = MemoryError(), hidden
        return error

    assert kind_of(raised(hidden=False)) is ErrorKind.RESOURCES
    assert kind_of(raised(hidden=True)) is ErrorKind.DETERMINISTIC


def test_duckdbs_error_has_the_users_line_and_nothing_of_our_statement() -> None:
    """Would catch: lines of the generated statement, its text or DuckDB's advice shown."""
    text = "Binder Error: no b\n\nLINE 5: select b\n        ^"
    error = of_duckdb(duckdb.BinderException(text), file="a.sql", first_line=10, lines_before=2)
    assert (plain(error.error.message), error.error.file, error.error.line) == (
        "Binder Error: no b",
        "a.sql",
        12,
    )
    before = of_duckdb(duckdb.BinderException(text), file="a.sql", first_line=10, lines_before=5)
    assert before.error.line is None
    assert of_duckdb(duckdb.BinderException(text)).error.line is None
    advice = "Out of Memory\n\nPossible solutions:\n* set x"
    full = of_duckdb(duckdb.OutOfMemoryException(advice)).error
    assert (full.message, full.kind) == ("Out of Memory", ErrorKind.RESOURCES)
    assert "smaller" in full.hint
    denied = of_duckdb(duckdb.PermissionException("no")).error
    assert "reads its inputs and nothing else" in denied.hint and denied.code == "body_failed"


def test_columns_whose_values_may_not_be_stored_are_named() -> None:
    """Would catch: a list of numbers taken for a number, so that no column is named."""
    columns = [("n", "BIGINT"), ("amount", "DECIMAL(9,2)"), ("some", "BIGINT[]"), ("t", "VARCHAR")]
    message = unstorable(ValueError(), columns, "assets/out.py", 3).error.message
    assert message.startswith("a value of `some` or `t` can't be stored")


def test_messages_are_cut_at_their_limit() -> None:
    """Would catch: a message that fits cut, or one that doesn't stored whole."""
    fits = "x" * MESSAGE_CHARACTERS_MAX
    assert (shortened(fits), shortened(fits + "y")) == (fits, fits + "…")
    assert failed(fits + "y").error.message == fits + "…"


def test_an_error_that_no_code_should_cause_is_still_told() -> None:
    """Would catch: the hint or kind of the last resort lost."""
    own = failed("mine", hint="h", code="c").error
    assert error_of(failed("mine", hint="h", code="c")) == own
    ours = error_of(HeadraceError("broken", hint="mend it"))
    assert (ours.message, ours.hint, ours.kind) == (
        "broken",
        "mend it",
        ErrorKind.DETERMINISTIC,
    )
    memory = error_of(MemoryError())
    assert (memory.kind, memory.message, memory.code) == (
        ErrorKind.RESOURCES,
        "MemoryError: the memory was used up",
        "out_of_memory",
    )
    assert memory.hint
    advice = error_of(duckdb.OutOfMemoryException("no\nmore\n\nPossible solutions:\n* x"))
    assert (advice.message, advice.code) == ("no more", "out_of_memory")


@pytest.mark.parametrize(
    ("code", "limited"), [(-9, True), (137, True), (9, False), (0, False), (128, False), (3, False)]
)
def test_an_exit_code_names_a_limit_by_its_signal(code: int, limited: bool) -> None:
    """Would catch: a shell's 128 + signal not understood, or a plain code taken for a signal."""
    assert (ended_by(code) is not None) is limited


def test_a_program_that_names_its_limit_gets_another_try() -> None:
    """Would catch: a limit that the program itself reports counted as the code's fault, or one
    read from old lines or for another kind of failure."""
    own = failed("exit code 1", code=COMMAND_FAILED, everywhere=True).of_machine().error
    said = "MemoryError"
    assert named_in(said) is Limit.OUT_OF_MEMORY
    changed = as_said(own, ["first", said, "last"])
    assert (changed.kind, changed.hint) == (ErrorKind.RESOURCES, hint_for(Limit.OUT_OF_MEMORY))
    assert changed.message == f"exit code 1: {Limit.OUT_OF_MEMORY}, as it says itself"
    assert not changed.everywhere and not changed.machine
    others = ["x"] * (LINES_LOOKED_AT - 1)
    assert as_said(own, [said, *others]) == changed
    assert as_said(own, [said, "x", *others]) == own
    transient = failed("75", code=COMMAND_FAILED, kind=ErrorKind.TRANSIENT).error
    assert as_said(transient, [said]) == transient
    other = failed("no rows", code="no_output").error
    assert as_said(other, [said]) == other
