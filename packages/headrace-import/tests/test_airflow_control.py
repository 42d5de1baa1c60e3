"""A server of Airflow that sends a byte now and then: each request ends by its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trickling_server import START, trickling

from headrace.connect.connectors import Unavailable
from headrace.security.secrets import Secrets
from headrace_import.airflow_server import control
from headrace_import.airflow_server.control import AirflowControl, AirflowServerAddress

__all__ = ["trickling"]

SECONDS = 0.6


@pytest.mark.parametrize("part", START)
def test_a_trickling_server_is_given_up_in_time(
    trickling: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Would catch: `import move` that one server holds for ever, a byte at a time."""
    monkeypatch.setattr(control, "ANSWER_SECONDS", SECONDS)
    asked = AirflowControl(AirflowServerAddress(url=trickling(part)), Secrets(Path()))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="time"):
        asked.state("d")
    assert time.monotonic() - began < SECONDS + 2
