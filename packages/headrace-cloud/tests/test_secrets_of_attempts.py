"""Attempts with secrets of a manager: real runs, and an OpenBao server that comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runlab import Lab
from secret_servers import TOKEN, Bao

from headrace_cloud import secret_lookups


@pytest.fixture
def bao(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bao]:
    server = Bao(tmp_path)
    monkeypatch.setenv("VAULT_ADDR", server.address)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(secret_lookups, "CACHE_SECONDS", 0.0)
    server.start()
    yield server
    server.stop()


@pytest.mark.long
def test_a_secret_is_read_for_each_attempt(lab: Lab, bao: Bao) -> None:
    """Would catch: a value of yesterday, one that is in a log, an outage of the manager that fails
    an asset for good, and an error without the secret's name."""
    bao.put("bank/api", token="first-canary")
    secret = {"TOKEN": "secret://vault/secret/bank/api#token"}
    code = "def rates():\n    import os\n    print(os.environ['TOKEN'], len(os.environ['TOKEN']))"
    lab.python("rates", code, materialize="none", secrets=secret)
    assert lab.run("rates").published
    bao.put("bank/api", token="the-second-canary")
    assert lab.run("rates", again=True, reason="rotated").published
    logs = str(lab.headrace("logs", "rates"))
    assert "*** 17" in logs and "canary" not in logs
    bao.stop()
    run = lab.run("rates", again=True, reason="away")
    assert not run.published and len(run.attempts) > 1
    error = run.attempts[-1].error
    assert error is not None and (error.kind, error.code) == ("transient", "source_unavailable")
    assert "secret://vault/secret/bank/api#token can't be read" in error.message
    bao.start()
    bao.put("bank/api", token="third-canary")
    assert lab.run("rates", again=True, reason="back").published
