"""The comment of `headrace ci --comment`: one per project on a pull request, which is replaced.

Which system runs the job, and which pull request it is of, comes from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx

from headrace.extension import HeadraceError, UsageError

CHARACTERS_MAX = 60_000
"""GitHub takes 65,536 at most, and the other systems more."""
PAGES_MAX = 50
PAGE_SIZE = 100
SECONDS_MAX = 30
_CUT = "\n\n… The rest is in the log of the job.\n"


class Comments(NamedTuple):
    """The comments on one pull request, and how a system names their parts."""

    url: str
    """Where they are listed and added."""
    edit_url: str
    """Where one with `{id}` is replaced."""
    edit_method: str
    headers: dict[str, str]
    in_threads: bool = False
    """Whether each is the first of a thread, as in Azure DevOps."""

    def publish(self, text: str, project: str) -> None:
        """Replace the comment of this project on the pull request, or add it.

        Raise HeadraceError if the system doesn't take it.
        """
        mark = f"<!-- headrace ci: {project} -->"
        body = text if len(text) <= CHARACTERS_MAX else text[:CHARACTERS_MAX] + _CUT
        body = f"{mark}\n{body}"
        try:
            with httpx.Client(headers=self.headers, timeout=SECONDS_MAX) as client:
                edited = next(
                    (at for at, old in self._listed(client) if old.startswith(mark)), None
                )
                if edited is None:
                    answer = client.post(self.url, json=self._added(body))
                else:
                    content = {"content" if self.in_threads else "body": body}
                    answer = client.request(self.edit_method, edited, json=content)
                answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            message = f"{error.request.url} answers {status} {error.response.reason_phrase}"
            raise HeadraceError(message, hint="look at the rights of the job's token") from error
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise HeadraceError(f"{self.url}: {error}", hint="look at the job's log") from error

    def _listed(self, client: httpx.Client) -> Iterator[tuple[str, str]]:
        """Yield for each comment the address that replaces it, and its text."""
        if self.in_threads:
            for thread in self._page(client, 1)["value"]:
                for first in thread["comments"][:1]:
                    address = self.edit_url.format(thread=thread["id"], id=first["id"])
                    yield address, first.get("content") or ""
            return
        for number in range(1, PAGES_MAX + 1):
            comments = self._page(client, number)
            yield from ((self.edit_url.format(id=at["id"]), at["body"] or "") for at in comments)
            if len(comments) < PAGE_SIZE:
                return

    def _page(self, client: httpx.Client, number: int) -> Any:
        answer = client.get(self.url, params={"per_page": PAGE_SIZE, "page": number})
        answer.raise_for_status()
        return answer.json()

    def _added(self, body: str) -> dict[str, Any]:
        if not self.in_threads:
            return {"body": body}
        first = {"parentCommentId": 0, "content": body, "commentType": 1}
        return {"comments": [first], "status": "closed"}  # an open one can forbid to merge


def comments_of(environ: Mapping[str, str]) -> Comments:
    """Return the comments on the pull request that this job of GitHub, GitLab or Azure is of.

    Raise UsageError if it is a job of none of them, or of no pull request.
    """
    try:
        if "GITHUB_ACTIONS" in environ:
            return _of_github(environ)
        if "GITLAB_CI" in environ:
            return _of_gitlab(environ)
        if "TF_BUILD" in environ:
            return _of_azure(environ)
    except KeyError as error:
        raise UsageError(
            f"--comment needs the variable {error.args[0]}, which this job doesn't have",
            hint="headrace init --ci github|gitlab|azure writes a file for jobs of pull requests",
        ) from None
    raise UsageError(
        "--comment is for jobs of GitHub, GitLab and Azure DevOps, and this is none of them",
        hint="headrace ci --format markdown prints the comment",
    )


def _of_github(environ: Mapping[str, str]) -> Comments:
    number = re.fullmatch(r"refs/pull/(\d+)/merge", environ["GITHUB_REF"])
    if number is None:
        raise UsageError(
            f"--comment needs a pull request, and this job is of {environ['GITHUB_REF']}",
            hint="run the job on: pull_request",
        )
    issues = f"{environ['GITHUB_API_URL']}/repos/{environ['GITHUB_REPOSITORY']}/issues"
    return Comments(
        url=f"{issues}/{number[1]}/comments",
        edit_url=f"{issues}/comments/{{id}}",
        edit_method="PATCH",
        headers={
            "Authorization": f"Bearer {environ['GITHUB_TOKEN']}",
            "Accept": "application/vnd.github+json",
        },
    )


def _of_gitlab(environ: Mapping[str, str]) -> Comments:
    project = f"{environ['CI_API_V4_URL']}/projects/{environ['CI_MERGE_REQUEST_PROJECT_ID']}"
    notes = f"{project}/merge_requests/{environ['CI_MERGE_REQUEST_IID']}/notes"
    return Comments(
        url=notes,
        edit_url=f"{notes}/{{id}}",
        edit_method="PUT",
        headers={"PRIVATE-TOKEN": environ["HEADRACE_CI_TOKEN"]},
    )


def _of_azure(environ: Mapping[str, str]) -> Comments:
    project = f"{environ['SYSTEM_COLLECTIONURI']}{environ['SYSTEM_TEAMPROJECTID']}"
    repository = f"{project}/_apis/git/repositories/{environ['BUILD_REPOSITORY_ID']}"
    threads = f"{repository}/pullRequests/{environ['SYSTEM_PULLREQUEST_PULLREQUESTID']}/threads"
    return Comments(
        url=threads,
        edit_url=f"{threads}/{{thread}}/comments/{{id}}",
        edit_method="PATCH",
        headers={
            "Authorization": f"Bearer {environ['SYSTEM_ACCESSTOKEN']}",
            "Accept": "application/json;api-version=7.1",
        },
        in_threads=True,
    )
