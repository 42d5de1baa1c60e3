"""Who may send requests: tokens, sessions of browsers, and the host names of this server.

A foreign page in the user's browser can send requests to 127.0.0.1, also under a name of its own
that resolves there (DNS rebinding). Such a request is refused: it lacks the token, its origin is
foreign, and its host name isn't one of this server's.
"""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from headrace.model import ProjectError
from headrace.security.private_files import replace_private
from headrace.security.sessions import START_LINK, BrowserSession, Sessions, SignedIn
from headrace.security.tokens import is_token
from headrace.web.http import HttpProblem

ACCESS_FILE = "token"
"""In the data folder: it outlives the server, so that a bookmark and a vendor's webhook go on
working."""
_ACCESS_PREFIX = "hdr_"
TOKEN_CHARACTERS_MAX = 200
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(:[0-9]{1,5})?")
_SAFE_METHODS = ("GET", "HEAD")
ACT_HEADER = "x-headrace-act"
"""What a page sends along when it changes something: no form can, and no other page without being
asked first."""


def token_of(data_folder: Path) -> str:
    """Return the project's token; create it if there is none or others could have read it.

    Raises ProjectError if the file can't be written.
    """
    path = data_folder / ACCESS_FILE
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        return _read_token(path) or _create_token(path)
    except OSError as error:
        raise ProjectError(
            f"{path} can't be used: {error.strerror}",
            hint="it must be readable and writable for who serves",
        ) from error


def _read_token(path: Path) -> str | None:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(opened, encoding="utf-8", errors="replace") as file:
        facts = os.fstat(opened)
        text = file.read(TOKEN_CHARACTERS_MAX).strip()
    private = stat.S_IMODE(facts.st_mode) & 0o077 == 0 and facts.st_uid == os.getuid()
    return (
        text
        if private and text.startswith(_ACCESS_PREFIX) and text.isascii() and len(text) >= 40
        else None
    )


def _create_token(path: Path) -> str:
    """Write a temporary file and rename it, so that two servers that start at once use the same
    token.
    """
    token = _ACCESS_PREFIX + secrets.token_urlsafe(32)
    replace_private(path, f"{token}\n".encode())
    return token


class CredentialKind(enum.StrEnum):
    """How a request says who sends it."""

    START = "start"
    """The token in the data folder: the user who runs the server."""
    SESSION = "session"
    """A browser whose user signed in."""
    API_TOKEN = "api_token"  # noqa: S105 - the name of a kind
    """A token of `headrace token create`; the state says whether it is valid."""


class Credential(NamedTuple):
    """What a request was sent with; `text` is the API token, or the id in the cookie."""

    kind: CredentialKind
    text: str = ""
    session: BrowserSession | None = None


class Guard:
    """Checks the requests of one server.

    `host` is the address it listens on; `names` are the host names under which a proxy forwards to
    it.
    """

    def __init__(
        self,
        token: str,
        host: str,
        names: tuple[str, ...] = (),
        sessions: Sessions | None = None,
    ) -> None:
        self._token = token.encode()
        self.sessions = sessions or Sessions()
        self._names = {"localhost", _normalized_host(host), *map(_normalized_host, names)}
        self._any_address = not _is_loopback(host)
        self._proxy_names = frozenset(map(_normalized_host, names))
        self.cookie = "headrace"
        """The cookie's name; with the port, because cookies don't tell ports apart."""

    def is_secure(self, request: Request) -> bool:
        """Whether the browser sent the request over TLS.

        A proxy says so in X-Forwarded-Proto; it is believed on this machine, and under a name that
        `--name` declares for it.
        """
        if request.url.scheme == "https":
            return True
        if request.headers.get("x-forwarded-proto", "").strip().lower() != "https":
            return False
        host = _HOST.fullmatch(request.headers.get("host", ""))
        by_name = host is not None and _normalized_host(host["name"]) in self._proxy_names
        return by_name or (request.client is not None and _is_loopback(request.client.host))

    def cookie_name(self, request: Request) -> str:
        """Return the name of the session's cookie.

        Over TLS it begins with `__Host-`: the browser then takes it from this host alone, over TLS.
        """
        return f"__Host-{self.cookie}" if self.is_secure(request) else self.cookie

    def session_id(self, request: Request) -> str:
        """Return the id in the session's cookie; empty without one."""
        return request.cookies.get(self.cookie_name(request), "")

    def sign_in(self, request: Request, answer: Response, signed_in: SignedIn = START_LINK) -> str:
        """Start a session, end the one that the browser had, and send its id as a cookie.

        Return the id.
        """
        self.sessions.end(self.session_id(request))
        session_id = self.sessions.start(signed_in)
        self.set_cookie(request, answer, self.cookie_name(request), session_id)
        return session_id

    def sign_out(self, request: Request, answer: Response) -> None:
        """End the browser's session and remove its cookie."""
        self.sessions.end(self.session_id(request))
        self.set_cookie(request, answer, self.cookie_name(request), "", seconds=0)

    def set_cookie(
        self,
        request: Request,
        answer: Response,
        name: str,
        value: str,
        seconds: int | None = None,
    ) -> None:
        """Send a cookie that no script reads; without `seconds` it ends with the browser."""
        answer.set_cookie(
            name,
            value,
            max_age=seconds,
            httponly=True,
            secure=self.is_secure(request),
            samesite="lax",
            path="/",
        )

    def check_names(self, request: Request) -> None:
        """Check that a request names this server, and doesn't come from a foreign page.

        Raises HttpProblem.
        """
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._names_this_server(hosts[0]):
            raise HttpProblem(
                421,
                "the Host header names another server",
                "ask for it by 127.0.0.1 or localhost, or name it: serve --name NAME",
            )
        origin = request.headers.get("origin")
        if origin is not None and not self._names_this_server(urlsplit_host(origin)):
            raise HttpProblem(403, "a page of another origin may not ask this server")
        if request.method not in _SAFE_METHODS and request.headers.get(
            "sec-fetch-site", "none"
        ) not in ("none", "same-origin"):
            raise HttpProblem(403, "a page of another site may not change anything here")

    def check_token(self, request: Request) -> Credential:
        """Return the request's credential: a token as a bearer or in the address, or a session.

        With a session's cookie, requests that change something must come from Headrace's own
        pages: browsers also send the cookie with requests of other pages on this machine. Whether
        an API token is valid isn't checked here. Raises HttpProblem without a credential.
        """
        for text in (_bearer(request), request.query_params.get("token", "")):
            if self.knows(text):
                return Credential(CredentialKind.START)
            if is_token(text):
                return Credential(CredentialKind.API_TOKEN, text)
        changes = request.method not in _SAFE_METHODS
        session_id = self.session_id(request)
        if changes and not request.headers.get(ACT_HEADER):
            session_id = ""
        session = self.sessions.use(session_id) if session_id else None
        if session is None:
            hint = (
                "`headrace serve` prints the address with the token; it is in the file `token` of"
                " the data folder"
            )
            raise HttpProblem(401, "this needs the token", hint, www_authenticate="Bearer")
        if changes and not is_same_origin(request):
            raise HttpProblem(403, "only a page of this server may change anything with its cookie")
        return Credential(CredentialKind.SESSION, session_id, session)

    def knows(self, text: str) -> bool:
        """Compare with the token in constant time."""
        return secrets.compare_digest(text.encode("utf-8", "surrogatepass"), self._token)

    def _names_this_server(self, host: str) -> bool:
        """Whether a Host header (`name`, `name:port`, `[::1]:port`) names this server."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = _normalized_host(match["name"])
        if name in self._names:
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(name).is_loopback or self._any_address
        return False


def is_same_origin(request: Request) -> bool:
    """Whether the browser reports this server as the origin; the port counts, too."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    return urlsplit_host(origin).lower() == request.headers.get("host", "").lower()


def urlsplit_host(origin: str) -> str:
    """Return an origin's host as a Host header has it; empty for `null` and invalid origins."""
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc
    return ""


def sends_token(request: Request) -> bool:
    """Whether a request was sent with a token, valid or not."""
    return bool(_bearer(request) or request.query_params.get("token"))


def _bearer(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _normalized_host(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    if _normalized_host(host) == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(_normalized_host(host)).is_loopback
    return False


def is_private(host: str) -> bool:
    """Whether only this machine can reach a server that listens on this address."""
    return _is_loopback(host)
