"""Requests of an erasure to the process that searches files."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from headrace.model import LakeError
from headrace_erase.search import BytesSearch, cast_texts, files_with, one_process


@pytest.mark.long
def test_one_process_answers_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a process for each request, which took three minutes of an erasure; an error,
    or an end of the process, after which no request is answered."""
    started: list[subprocess.Popen[bytes]] = []

    class Counted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    typed = {"07": ["07", "7"]}
    with one_process():
        assert cast_texts(["07"], ["INTEGER"]) == typed
        with pytest.raises(LakeError, match="directory"):
            files_with(BytesSearch(("/",), ("x",)))
        assert cast_texts(["07"], ["INTEGER"]) == typed
        assert len(started) == 1
        os.kill(started[0].pid, signal.SIGKILL)
        with pytest.raises(LakeError, match="exit code -9"):
            cast_texts(["07"], ["INTEGER"])
        assert cast_texts(["07"], ["INTEGER"]) == typed
    assert [process.poll() for process in started] == [-signal.SIGKILL, 0]
    assert cast_texts(["07"], ["INTEGER"]) == typed
    assert len(started) == 3
