"""`init --ci` and `ci --comment`: the files of GitHub, GitLab and Azure DevOps, and their comment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

from headrace.extension import HeadraceError, UsageError
from headrace.services.init import CI_FILES, CiSystem, init
from headrace_testing.cli.ci import ci_command
from headrace_testing.cli.comments import CHARACTERS_MAX, PAGE_SIZE, Comments, comments_of

AUTHOR = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
SCHEMAS = {
    CiSystem.GITHUB: "vendor.github-workflows",
    CiSystem.GITLAB: "vendor.gitlab-ci",
    CiSystem.AZURE: "vendor.azure-pipelines",
}


@pytest.mark.parametrize("system", CiSystem)
def test_the_file_of_each_system_is_valid_for_it_and_finds_the_project(
    system: CiSystem, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "data (new)" / "shop"
    written = init(folder, [], system)
    file = tmp_path / CI_FILES[system]
    assert f"../../{CI_FILES[system]}" in written.files
    document = YAML(typ="safe").load(file)
    assert "data (new)/shop" in str(document)
    schema = get_builtin_schema(SCHEMAS[system])
    validator = validator_for(schema)(schema, format_checker=None)
    assert not list(validator.iter_errors(document))
    assert "--comment" in file.read_text()
    assert "comment" in {item.name for item in ci_command.parameters}


def test_a_project_gets_the_file_and_nothing_else(tmp_path: Path) -> None:
    init(tmp_path, [])
    before = sorted(tmp_path.rglob("*"))
    written = init(tmp_path, [], CiSystem.AZURE)
    assert written.files == ["azure-pipelines-headrace.yml"]
    assert sorted({*tmp_path.rglob("*")} - {*before}) == [tmp_path / written.files[0]]
    with pytest.raises(HeadraceError, match=r"azure-pipelines-headrace\.yml is there already"):
        init(tmp_path, [], CiSystem.AZURE)


def test_a_file_in_the_repository_is_found_although_the_folder_is_new(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / CI_FILES[CiSystem.AZURE]).write_text("mine")
    with pytest.raises(HeadraceError, match="is there already"):
        init(tmp_path / "new", [], CiSystem.AZURE)
    assert not (tmp_path / "new").exists()


def test_gitlab_s_file_with_other_jobs_stays(tmp_path: Path) -> None:
    init(tmp_path, [])
    (tmp_path / ".gitlab-ci.yml").write_text("build: {script: make}\n")
    written = init(tmp_path, [], CiSystem.GITLAB)
    assert written.files == [".gitlab/headrace.yml"]
    assert written.notes[1] == "add to .gitlab-ci.yml: include: [{local: .gitlab/headrace.yml}]"
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "build: {script: make}\n"


class System(ThreadingHTTPServer):
    """A server with the comments of one pull request, as GitHub, GitLab and Azure serve them."""

    def __init__(self, *, in_threads: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.in_threads = in_threads
        self.texts = [f"somebody's {at}" for at in range(PAGE_SIZE + 1)]
        self.methods: list[str] = []
        self.headers: dict[str, str] = {}
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: System

    def do_GET(self) -> None:
        page = int(self.path.partition("&page=")[2] or 1)
        texts = list(enumerate(self.server.texts, 1))
        if self.server.in_threads:
            threads = [{"id": at, "comments": [{"id": 1, "content": text}]} for at, text in texts]
            threads.append({"id": 0, "comments": []})
            return self._answer({"value": threads})
        listed = texts[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return self._answer([{"id": at, "body": text} for at, text in listed])

    def do_POST(self) -> None:
        sent = self._sent()
        self.server.texts.append(
            sent["comments"][0]["content"] if self.server.in_threads else sent["body"]
        )
        self._answer({})

    def do_PATCH(self) -> None:
        words = self.path.split("/")
        at, key = (-3, "content") if self.server.in_threads else (-1, "body")
        self.server.texts[int(words[at]) - 1] = self._sent()[key]
        self._answer({})

    do_PUT = do_PATCH  # noqa: N815

    def _sent(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: Any) -> None:
        self.server.methods.append(f"{self.command} {self.path.partition('?')[0]}")
        self.server.headers = dict(self.headers)
        data = json.dumps(body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(params=list(CiSystem))
def job(request: pytest.FixtureRequest) -> Iterator[tuple[System, Comments]]:
    """A server of each system, and the comments that a job's environment names."""
    server = System(in_threads=request.param is CiSystem.AZURE)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    environments = {
        CiSystem.GITHUB: {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": url,
            "GITHUB_REPOSITORY": "shop/data",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_TOKEN": "secret",
        },
        CiSystem.GITLAB: {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{url}/api/v4",
            "CI_MERGE_REQUEST_PROJECT_ID": "3",
            "CI_MERGE_REQUEST_IID": "7",
            "HEADRACE_CI_TOKEN": "secret",
        },
        CiSystem.AZURE: {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": f"{url}/shop/",
            "SYSTEM_TEAMPROJECTID": "p",
            "BUILD_REPOSITORY_ID": "r",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
            "SYSTEM_ACCESSTOKEN": "secret",
        },
    }
    environment = environments[request.param]
    for name in environment:
        less = {key: value for key, value in environment.items() if key != name}
        with pytest.raises(UsageError):
            comments_of(less)
    yield server, comments_of(environment)
    server.shutdown()
    server.server_close()


def test_one_comment_per_project_is_replaced(job: tuple[System, Comments]) -> None:
    """Would catch: a new comment for each push, behind the first page of others' comments."""
    server, comments = job
    others = list(server.texts)
    comments.publish("first", "shop")
    comments.publish("of another project", "other")
    comments.publish("second" + "x" * CHARACTERS_MAX, "shop")
    assert server.texts[: len(others)] == others
    mine, another = server.texts[len(others) :]
    assert "second" in mine and "first" not in mine
    assert mine.endswith("… The rest is in the log of the job.\n")
    assert len(mine) < 65_536
    assert "of another project" in another
    assert "secret" in str(server.headers)


def test_what_the_system_refuses_is_named(job: tuple[System, Comments]) -> None:
    server, comments = job
    server.status = 403
    with pytest.raises(HeadraceError, match="answers 403"):
        comments.publish("first", "shop")


def test_a_job_of_a_branch_has_no_comment() -> None:
    with pytest.raises(UsageError, match="of refs/heads/main"):
        comments_of({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/main"})


@pytest.mark.long
def test_the_exit_code_is_of_the_change_whatever_becomes_of_the_comment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    init(tmp_path, [])
    (tmp_path / "owners.yaml").write_text("data-team: 7\n")
    for words in (["init", "-q"], ["add", "."], [*AUTHOR, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    server = System(in_threads=False)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GITHUB_REPOSITORY", "shop/data")
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    for status, said in ((200, ""), (403, "no comment: http://127.0.0.1")):
        server.status = status
        code, _, err = call(tmp_path, "ci", "--against", "HEAD", "--comment")
        assert code == 1
        assert said in err
    assert "owners.yaml:1" in server.texts[-1]
    server.shutdown()
    server.server_close()
