"""Exports to URLs: an object store (moto's server) and a file server (SFTP), both on the loopback
address.
"""

from __future__ import annotations

import csv
import io
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from export_contract import ORDERS, READ_BACK, ExportTargetContract, Row
from exportlab import Bench

from headrace.runtime.messages import StagedOutcome

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
paramiko = pytest.importorskip("paramiko")

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
BUCKET = "reports"
CANARY = "canary-export-5521"


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class UrlContract(ExportTargetContract):
    null_is_empty = True
    url = ""

    def declared(self) -> dict[str, Any]:
        return {"to": f"{self.url}/delays_{{date:%Y-%m-%d}}.csv", "connection": "elsewhere"}

    def content(self, name: str) -> bytes | None:
        raise NotImplementedError

    def names(self) -> list[str]:
        raise NotImplementedError

    def read_back(self, bench: Bench, interval: str) -> list[Row] | None:
        data = self.content(f"delays_{interval}.csv")
        return (
            None if data is None else list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        )

    def leftovers(self, bench: Bench) -> list[str]:
        return [name for name in self.names() if not name.startswith("delays_")]

    def break_it(self, bench: Bench) -> None:
        os.environ["EXPORT_PORT"] = str(unused_port())

    def put(self, name: str, content: bytes) -> None:
        raise NotImplementedError

    def test_an_erasure_replaces_only_what_was_exported(self, bench: Bench) -> None:
        """Would catch: a file of somebody else that is replaced, because one is at the URL."""
        name = "delays_2013-02-11.csv"
        first = bench.export(self.declared(), bench.rows(ORDERS))
        (entry,) = first.manifest or ()
        task = msgspec.structs.replace(
            bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 2")),
            erases=1,
            replaces={entry["target"]: entry["sha256"]},
        )
        exported = self.content(name)
        assert exported is not None
        self.put(name, b"somebody else's")
        outcome = bench.perform(task)
        assert outcome.state == "failed" and "another content than was exported" in repr(outcome)
        assert self.content(name) == b"somebody else's"
        self.put(name, exported)
        assert isinstance(bench.perform(task), StagedOutcome)
        assert self.read_back(bench, "2013-02-11") == READ_BACK[1:]

    def test_no_secret_is_told(self, bench: Bench) -> None:
        """Would catch: a key in what a library says, or in the manifest."""
        bench.export(self.declared(), bench.rows(ORDERS))
        self.break_it(bench)
        outcome = bench.perform(bench.task(self.declared(), bench.rows(ORDERS)))
        assert outcome.state == "failed"
        assert CANARY not in repr(outcome)


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


class TestS3(UrlContract):
    url = f"s3://{BUCKET}/out/daily"

    @pytest.fixture
    def bench(self, export_bench: Bench, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Bench:
        monkeypatch.setenv("EXPORT_PORT", str(s3_port))
        monkeypatch.setenv("EXPORT_SECRET", CANARY)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        self.port = s3_port
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{s3_port}",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)
        for name in self._keys():
            self.client.delete_object(Bucket=BUCKET, Key=name)
        export_bench.connection = {
            "type": "s3",
            "key": "writer",
            "secret": "${EXPORT_SECRET}",
            "endpoint_url": "http://127.0.0.1:${EXPORT_PORT}",
        }
        return export_bench

    def _keys(self) -> list[str]:
        return [
            item["Key"] for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        ]

    def names(self) -> list[str]:
        return [key.rpartition("/")[2] for key in self._keys()]

    def content(self, name: str) -> bytes | None:
        key = f"out/daily/{name}"
        if key not in self._keys():
            return None
        result: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return result

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"out/daily/{name}", Body=content)

    def repair(self, bench: Bench) -> None:
        os.environ["EXPORT_PORT"] = str(self.port)


class _Server(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == ("writer", CANARY)
        return int(paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class _Handle(paramiko.SFTPHandle):  # type: ignore[misc]
    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.writefile.fileno()))


class _Files(paramiko.SFTPServerInterface):  # type: ignore[misc]
    root = Path()

    def _at(self, path: str) -> Path:
        return self.root / self.canonicalize(path).lstrip("/")

    def list_folder(self, path: str) -> Any:
        return [
            paramiko.SFTPAttributes.from_stat(item.stat(), item.name)
            for item in self._at(path).iterdir()
        ]

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = _Handle(flags)
        try:
            handle.writefile = handle.readfile = os.fdopen(
                os.open(self._at(path), flags, 0o644), "wb" if flags & os.O_WRONLY else "rb+"
            )
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return handle

    def remove(self, path: str) -> int:
        self._at(path).unlink()
        return int(paramiko.SFTP_OK)

    def posix_rename(self, old: str, new: str) -> int:
        self._at(old).replace(self._at(new))
        return int(paramiko.SFTP_OK)

    def mkdir(self, path: str, attr: Any) -> int:
        self._at(path).mkdir()
        return int(paramiko.SFTP_OK)

    def chattr(self, path: str, attr: Any) -> int:
        return int(paramiko.SFTP_OK)


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server's port and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    key, listener, transports = (
        paramiko.RSAKey.generate(2048),
        socket.create_server(("127.0.0.1", 0)),
        list[Any](),
    )
    files = type("Files", (_Files,), {"root": folder})

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
            transport.start_server(server=_Server(), event=threading.Event())
            transports.append(transport)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], folder
    listener.close()
    for item in transports:
        item.close()


class TestSftp(UrlContract):
    @pytest.fixture
    def bench(
        self, export_bench: Bench, sftp: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
    ) -> Bench:
        self.port, self.folder = sftp
        monkeypatch.setenv("EXPORT_PORT", str(self.port))
        monkeypatch.setenv("EXPORT_SECRET", CANARY)
        self.url = "sftp://127.0.0.1/out/daily"
        export_bench.connection = {
            "type": "sftp",
            "user": "writer",
            "password": "${EXPORT_SECRET}",
            "port": "${EXPORT_PORT}",
        }
        return export_bench

    def names(self) -> list[str]:
        return [path.name for path in (self.folder / "out/daily").iterdir()]

    def content(self, name: str) -> bytes | None:
        path = self.folder / "out/daily" / name
        return path.read_bytes() if path.exists() else None

    def put(self, name: str, content: bytes) -> None:
        (self.folder / "out/daily" / name).write_bytes(content)

    def repair(self, bench: Bench) -> None:
        os.environ["EXPORT_PORT"] = str(self.port)
