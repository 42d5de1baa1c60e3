"""What a worker answers holds no secret that it resolved, wherever a driver's or a server's text
went."""

from __future__ import annotations

import pytest

from headrace.engine import BodyError, ErrorKind, Measures
from headrace.runtime.messages import FailedOutcome, RejectedOutcome, SourceObserved
from headrace.runtime.worker_protocol import scrubbed
from headrace.security.secrets import Secrets

CANARY = "canary-7391/%@nowhere"


@pytest.fixture
def secrets(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Secrets:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CANARY", CANARY)
    result = Secrets(tmp_path)
    result.resolved("secret://env/CANARY")
    return result


def test_a_failed_attempt(secrets: Secrets) -> None:
    """Would catch: a DSN in a driver's error that reaches the state, `runs` and `logs`."""
    error = BodyError(
        kind=ErrorKind.TRANSIENT,
        message=f"no route to postgresql://me:{CANARY}@db",
        hint=f"is {CANARY} right?",
        file="a.yaml",
    )
    answer = scrubbed(FailedOutcome(attempt="1.1", measures=Measures(), error=error), secrets)
    assert isinstance(answer, FailedOutcome)
    assert (answer.error.message, answer.error.hint, answer.error.file) == (
        "no route to postgresql://me:***@db",
        "is *** right?",
        "a.yaml",
    )


def test_a_rejected_delivery(secrets: Secrets) -> None:
    """Would catch: an error page that repeats the request's token, as the reason of a rejection."""
    answer = scrubbed(
        RejectedOutcome(
            attempt="1.1",
            measures=Measures(),
            reason=f"<b>bad token {CANARY}</b>",
        ),
        secrets,
    )
    assert isinstance(answer, RejectedOutcome) and answer.reason == "<b>bad token ***</b>"


def test_a_look(secrets: Secrets) -> None:
    """Would catch: a note or an error of a look that quotes a URL with its token."""
    answer = scrubbed(
        SourceObserved("0.1", notes=(f"x?token={CANARY}",), error=CANARY, code="access_denied"),
        secrets,
    )
    assert isinstance(answer, SourceObserved) and (answer.notes, answer.error, answer.code) == (
        ("x?token=***",),
        "***",
        "access_denied",
    )
