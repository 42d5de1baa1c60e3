"""`docs publish` into an object store (moto's server), and `docs serve`."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documented_shop import opened

from headrace.cli.main import run
from headrace.model import HeadraceError, UsageError
from headrace_docs.services.buckets import MANIFEST, publish_to_bucket
from headrace_docs.services.server import site_server

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
URL = "s3://pages/docs/shop"
SITE = [("index.html", "first <a href='nodes/a.html'>a</a>"), ("nodes/a.html", "a"), ("x.js", "1")]
CANARY = "canary-pages-7713"


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PAGES_PORT", str(s3_port))
    monkeypatch.setenv("PAGES_KEY", "writer")
    monkeypatch.setenv("PAGES_SECRET", CANARY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    store = boto3.resource(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3_port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    ).Bucket("pages")
    store.create()
    store.objects.delete()
    return store


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project that knows how the object store is reached."""
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "shop"\ntimezone = "UTC"\n[connections.pages]\ntype = "s3"\n'
        'key = "${PAGES_KEY}"\nsecret = "${PAGES_SECRET}"\n'
        'endpoint_url = "http://127.0.0.1:${PAGES_PORT}"\n'
    )
    return tmp_path


def keys(bucket: Any) -> set[str]:
    return {item.key.removeprefix("docs/shop/") for item in bucket.objects.all()}


def test_a_bucket_gets_what_changed(project: Path, bucket: Any) -> None:
    """Would catch: pages of gone nodes, a download instead of a page, a write of what is equal."""
    session = opened(project)
    assert publish_to_bucket(session, URL, "pages", SITE)[1:] == (3, 0)
    assert keys(bucket) == {"index.html", "nodes/a.html", "x.js", MANIFEST}
    assert bucket.Object("docs/shop/nodes/a.html").content_type == "text/html"
    times = {item.key: item.last_modified for item in bucket.objects.all()}
    assert publish_to_bucket(session, f"{URL}/", "pages", SITE)[1:] == (0, 0)
    assert {item.key: item.last_modified for item in bucket.objects.all()} == times
    dated = [SITE[0], ("nodes/a.html", 'a<p class="as-of">at 7</p>'), SITE[2]]
    assert publish_to_bucket(session, URL, "pages", dated)[1:] == (0, 0)
    other = [("index.html", "second"), ("nodes/b.html", "b"), SITE[2]]
    assert publish_to_bucket(session, URL, "pages", other)[1:] == (2, 1)
    assert keys(bucket) == {"index.html", "nodes/b.html", "x.js", MANIFEST}


def test_what_broke_off_goes_on(
    project: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a page that stays for ever, and a link to a page that isn't there yet."""
    from s3fs import S3FileSystem

    session = opened(project)
    publish_to_bucket(session, URL, "pages", SITE)
    put, calls = S3FileSystem.put, []

    def broken(self: Any, local: list[str], remote: list[str], **rest: Any) -> None:
        calls.append([Path(name).name for name in local])
        if len(calls) == 2:
            raise OSError("the line is cut")
        put(self, local, remote, **rest)

    later = [("index.html", "third"), ("nodes/a.html", "a"), ("nodes/c.html", "c"), SITE[2]]
    with monkeypatch.context() as cut:
        cut.setattr(S3FileSystem, "put", broken)
        with pytest.raises(HeadraceError, match="the line is cut"):
            publish_to_bucket(session, URL, "pages", later)
    assert calls == [["c.html"], ["index.html"]], "what links to it comes after it"
    assert "nodes/c.html" in keys(bucket)
    assert publish_to_bucket(session, URL, "pages", SITE)[1:] == (1, 1)
    assert keys(bucket) == {"index.html", "nodes/a.html", "x.js", MANIFEST}


def test_a_bucket_is_somebodys(
    project: Path, bucket: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: files of others that are removed; a secret in an error; an unknown place."""
    bucket.put_object(Key="docs/shop/thesis.txt", Body=b"years of work")
    command = ["docs", "publish", URL, "--connection", "pages", "--project", str(project)]
    assert run(command) == 2
    assert "holds something else" in capsys.readouterr().err
    assert keys(bucket) == {"thesis.txt"}
    bucket.objects.delete()
    assert run([*command, "--json", "--now", "2025-03-04T06:30+00:00"]) == 0
    response = json.loads(capsys.readouterr().out)
    assert (response["folder"], response["removed"]) == (URL, 0)
    assert len(keys(bucket)) == response["changed"] + 1
    with pytest.raises(UsageError, match="can't be published to `ftp`"):
        publish_to_bucket(opened(project), "ftp://x/y", None, SITE)
    with pytest.raises(UsageError, match="names no bucket"):
        publish_to_bucket(opened(project), "s3:///", "pages", SITE)
    with pytest.raises(UsageError, match="there is no connection `page`"):
        publish_to_bucket(opened(project), URL, "page", SITE)
    with pytest.raises(HeadraceError) as failure:
        publish_to_bucket(opened(project), "s3://nowhere/x", "pages", SITE)
    assert CANARY not in f"{failure.value}{failure.value.hint}"
    monkeypatch.delenv("PAGES_SECRET")
    assert run(command) == 1
    assert "PAGES_SECRET" in capsys.readouterr().err


def test_a_server_has_pages_for_this_machine(tmp_path: Path) -> None:
    """Would catch: a foreign name, a list of files, or a file outside of the site."""
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "site/nodes").mkdir(parents=True)
    (tmp_path / "site/index.html").write_text("hello")
    with site_server(tmp_path / "site", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port

        def status(path: str, host: str = f"127.0.0.1:{port}", method: str = "GET") -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(method, path, headers={"Host": host})
            answer = connection.getresponse()
            assert "outside" not in answer.read().decode()
            connection.close()
            return answer.status

        assert [status("/"), status("/", "localhost"), status("/", method="HEAD")] == [200] * 3
        assert status("/", "evil.example") == status("/", f"evil.example:{port}") == 421
        assert status("/nodes/") == status("/../secret.txt") == status("/%2e%2e/secret.txt") == 404
        assert status("/", method="POST") == 501
        with pytest.raises(HeadraceError, match=f"port {port} can't be used"):
            site_server(tmp_path, port)
        server.shutdown()


@pytest.mark.system
def test_serve_ends_with_ctrl_c(project: Path) -> None:
    """Would catch: a server that stays, or that ends with an error."""
    command = ["docs", "serve", "--port", "0", "--json", "--project", str(project)]
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["folder"]
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.request("GET", "/index.html")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
