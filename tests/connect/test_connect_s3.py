"""Files in an object store as a source: moto's server on the loopback address, behind a wire that
can be cut.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from connect_workbench import Taken, Workbench
from remote_contract import CANARY, Remote, RemoteBench, RemoteContract, Row

from headrace.connect.connectors import Unavailable
from headrace.model import Grain, PartitionSpec, Place, Source

boto3 = pytest.importorskip("boto3")
httpx = pytest.importorskip("httpx")
moto_server = pytest.importorskip("moto.server")

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
PLACE = Place(file="sources/x.yaml")
CUT_BYTES = 20_000
BUCKET = "landing-zone"


class Wire:
    """Passes bytes to a server and back; `cut` ends an answer after CUT_BYTES, `stall` sends no
    more of it.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.cut = self.stall = False
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        finally:
            _end(target)

    def _answer(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        try:
            while data := source.recv(4096):
                if passed + len(data) > CUT_BYTES and self.cut:
                    break
                if passed + len(data) > CUT_BYTES and self.stall:
                    self._over.wait()
                    break
                passed += len(data)
                target.sendall(data)
        except OSError:
            pass
        finally:
            _end(target)


def _end(connection: socket.socket) -> None:
    """Closing alone says nothing to the other side while a thread still reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.fixture(scope="module")
def store() -> Iterator[int]:
    """The server's port."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


class S3Remote(Remote):
    """One object of a bucket. It is so large that it doesn't come whole by going on where an answer
    was cut, a few times.
    """

    page_size = 3_000

    def __init__(self, port: int) -> None:
        self.port, self.wire = port, Wire(port)
        self.options: dict[str, Any] = {}
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="setup",
            aws_secret_access_key="setup",
            region_name="us-east-1",
        )
        httpx.post(f"http://127.0.0.1:{port}/moto-api/reset", timeout=None)
        self._allow(1_000_000_000)
        self.client.create_bucket(Bucket=BUCKET)
        self.files, self.partition = f"s3://{BUCKET}/in/rows.jsonl", PartitionSpec()
        self.come_back()

    @property
    def source(self) -> Source:
        return Source(
            name="orders",
            owner="o",
            place=PLACE,
            timezone="UTC",
            files=self.files,
            partition=self.partition,
        )

    @property
    def connection(self) -> dict[str, Any]:  # type: ignore[override]
        return self.options or {
            "type": "s3",
            "key": "reader",
            "secret": "${REMOTE_SECRET}",
            "endpoint_url": "http://127.0.0.1:${REMOTE_PORT}",
        }

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def fill(self, rows: Sequence[Row]) -> None:
        self.put("in/rows.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    def forbid(self) -> None:
        self._allow(0)

    def go_away(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["REMOTE_PORT"] = str(free.getsockname()[1])

    def break_off(self) -> None:
        self.wire.cut = True

    def hang(self) -> None:
        self.wire.stall = True

    def spoil(self) -> None:
        self.put("in/rows.jsonl", b"\x00\xff{not json" * 50)

    def come_back(self) -> None:
        os.environ["REMOTE_PORT"] = str(self.wire.port)
        self.wire.cut = self.wire.stall = False
        self._allow(1_000_000_000)

    def _allow(self, requests: int) -> None:
        """After so many more the server asks who it is, and knows nobody."""
        httpx.post(
            f"http://127.0.0.1:{self.port}/moto-api/reset-auth",
            content=str(requests).encode(),
            timeout=None,
        )


@pytest.fixture
def remote(store: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Remote]:
    monkeypatch.setenv("REMOTE_PORT", "")
    monkeypatch.setenv("REMOTE_SECRET", CANARY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    result = S3Remote(store)
    yield result
    result.come_back()  # what was forbidden is forbidden in every server of this process
    result.wire.close()


class TestS3(RemoteContract):
    """One object."""


def _dated(remote: S3Remote, pattern: str, grain: Grain | None = Grain.DAY) -> None:
    remote.files, remote.partition = f"s3://{BUCKET}/{pattern}", PartitionSpec(grain=grain)


@pytest.mark.long
def test_names_say_the_interval(bench: Workbench, remote: S3Remote) -> None:
    """Would catch: folders by date that aren't listed, files taken that only look alike, a day that
    doesn't exist.
    """
    for key in (
        "in/2024/01/orders_02.csv",
        "in/2024/01/orders_03.csv",
        "in/2024/02/orders_30.csv",
        "in/2024/01/orders_04.csv.tmp",
        "in/x.csv",
        "in/2024/01/sub/orders_05.csv",
    ):
        remote.put(key, b"id\n1\n")
    _dated(remote, "in/{date:%Y/%m/orders_%d}.csv")
    far = RemoteBench(bench, remote)
    result = {item.partition: item for item in far.observe()}
    assert sorted(result) == ["2024-01-02", "2024-01-03"]
    assert result["2024-01-02"].path == f"s3://{BUCKET}/in/2024/01/orders_02.csv"
    known = {key: (item.path, item.version) for key, item in result.items()}
    assert far.observe(known) == ()
    remote.put("in/2024/01/orders_03.csv", b"id\n2\n")
    (again,) = far.observe(known)
    taken = far.fetch(again)
    assert isinstance(taken, Taken) and taken.rows == [(2,)]


def test_two_files_for_one_interval_are_said(bench: Workbench, remote: S3Remote) -> None:
    """Would catch: one of two files taken by chance, so that the data depends on the order of a
    listing."""
    _dated(remote, "in/*_{date:%Y-%m-%d}.csv")
    remote.put("in/a_2024-01-02.csv", b"id\n1\n")
    far = RemoteBench(bench, remote)
    (first,) = far.observe()
    remote.put("in/b_2024-01-02.csv", b"id\n2\n")
    assert far.observe() == ()
    remote.put("in/a_2024-01-02.csv", b"id\n3\n")
    (again,) = far.observe({"2024-01-02": (first.path, first.version)})
    assert again.path == first.path


@pytest.mark.slow
def test_more_objects_than_a_listing_holds(bench: Workbench, remote: S3Remote) -> None:
    """Would catch: a listing that ends at its first page of a thousand."""
    for n in range(1_002):
        remote.put(f"in/{n:04}.csv", b"id\n1\n")
    remote.files, remote.partition = f"s3://{BUCKET}/in/{{key}}.csv", PartitionSpec(key="shop")
    assert len(RemoteBench(bench, remote).observe()) == 1_002


@pytest.mark.parametrize(
    "files",
    [
        "file:///etc/passwd",
        "local:///etc/passwd",
        "memory://x/y.csv",
        "simplecache::s3://a/b.csv",
        "zip://x.csv::s3://a/b.zip",
    ],
)
def test_what_leads_back_to_this_machine_is_refused(
    bench: Workbench, remote: S3Remote, files: str
) -> None:
    """Would catch: a declaration that reads any file of the machine by the name of a URL."""
    remote.files = files
    with pytest.raises(Unavailable) as caught:
        RemoteBench(bench, remote).observe()
    assert (caught.value.code, caught.value.transient) == ("configuration_error", False)


def test_a_connection_that_isnt_understood(bench: Workbench, remote: S3Remote) -> None:
    """Would catch: a misspelt option that is tried again for hours."""
    remote.options = {"kee": "reader"}
    with pytest.raises(Unavailable) as caught:
        RemoteBench(bench, remote).observe()
    assert (caught.value.code, caught.value.transient) == ("configuration_error", False)
