"""The how-to page on remote files, typed against an object store on the loopback address."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, follow

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that promises what the command no longer does."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="landing-zone")
        for day, rows in (("2026-03-01", "1,5\n2,7\n"), ("2026-03-02", "3,9\n")):
            client.put_object(
                Bucket="landing-zone",
                Key=f"orders/orders_{day}.csv",
                Body=f"id,amount\n{rows}".encode(),
            )
        follow(
            ROOT / "docs" / "how-to" / "remote-files.md",
            tmp_path,
            S3_KEY="reader",
            S3_SECRET="let-me-in-please",
            S3_ENDPOINT=url,
            NO_PROXY="127.0.0.1",
        )
    finally:
        server.stop()
