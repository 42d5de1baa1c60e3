"""Who is signed in to this server, and how a browser signs in and out."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.access.access_events import note_failed_sign_in
from headrace.access.refused_acts import refused_in_project
from headrace.model import HeadraceError
from headrace.model.plugins import ROUTES, missing_package
from headrace.project.session import ProjectSession
from headrace.responses import Response as ApiResponse
from headrace.responses.access import RefusedActRow
from headrace.security.access import Identity, local_identity
from headrace.security.access_events import UNKNOWN
from headrace.security.sessions import SignedIn, SignInKind, hash_of_id
from headrace.services.browser_sessions import SessionEvent, has_users, record_later
from headrace.web.access import Guard, is_same_origin
from headrace.web.endpoints import ENDPOINTS, json_response
from headrace.web.http import HttpProblem, read_body, read_json_body
from headrace.web.plain_pages import STYLE_SOURCE, html_page
from headrace.web.project_reader import ProjectReader

SIGN_IN_PATH = "/sign-in"
PROVIDER_PATH = f"{SIGN_IN_PATH}/provider"
ATTEMPTS_MAX = 10
"""Attempts to sign in as one user from one address, in ATTEMPT_SECONDS."""
ATTEMPT_SECONDS = 60.0
THROTTLED_NAMES_MAX = 10_000
WAITING_MAX = 8
"""Passwords that wait to be verified, one after another: each takes 64 MiB."""
FORM_FIELDS_MAX = 10
ACTS = tuple(endpoint.command for endpoint in ENDPOINTS if endpoint.acts)
"""The functions of all actions of the HTTP API."""
_FORM_TYPE = "application/x-www-form-urlencoded"
_PATH = re.compile(r"/(?![/\\]|%2f|%5c)[A-Za-z0-9_.~@:=,?&%+/-]*", re.IGNORECASE)
_PAGE_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    # with `no-referrer`, browsers send the form with `Origin: null`
    "referrer-policy": "same-origin",
}


class OwnSessionResponse(ApiResponse, frozen=True, kw_only=True):
    """Who sends this request."""

    who: str
    """The subject of `access.yaml`: `user:ana`, `token:ci`."""
    name: str
    """The person's name as the provider reports it; else empty."""
    kind: str
    """`local` for the user who runs the server, `user` for somebody who signed in, `token`."""
    session: str | None
    """The id of the browser's session; null with a token."""
    refused_acts: list[RefusedActRow] = msgspec.field(default_factory=list)
    """The acts that the reader's roles refuse, with the reason; empty without `access.yaml`."""


class SignInForm(NamedTuple):
    """What a person has typed, and the page that they wanted."""

    name: str
    password: str
    next_path: str


class SignInEndpoints:
    """The endpoints of one server that are about the browser's own session."""

    def __init__(self, reader: ProjectReader, guard: Guard) -> None:
        self._reader, self._guard = reader, guard
        self._throttle = Throttle()
        self._passwords = ThreadPoolExecutor(1, thread_name_prefix="headrace password")
        self._waiting = 0

    async def page(self, request: Request) -> Response:
        """Return the page to sign in."""
        next_path = safe_path(request.query_params.get("next", ""))
        return await self._page(next_path)

    async def sign_in(self, request: Request) -> Response:
        """Sign in with a name and a password, and go to the page that was wanted.

        The answer for an unknown user is that for a wrong password, after the same time.
        """
        if not is_same_origin(request):
            raise HttpProblem(403, "only the page of this server may sign in")
        form = await read_form(request)
        address = "" if request.client is None else request.client.host  # a proxy's is everybody's
        attempt = f"{address} {form.name.lower()[:100]}"
        if not self._throttle.allows(attempt):
            await self._note_throttled(form.name)
            return await self._page(
                form.next_path,
                "Too many attempts to sign in with this name. Try again in a minute.",
                429,
            )
        signed_in = await self._verified(form)
        if signed_in is None:
            return await self._page(form.next_path, "The name or the password is wrong.", 401)
        self._throttle.forget(attempt)
        return self.signed_in(request, signed_in, form.next_path)

    async def _note_throttled(self, name: str) -> None:
        from headrace.services.users import note_throttled  # imports argon2

        await self._reader.glance(lambda session: note_throttled(session, name))

    async def refused(self, next_path: str, message: str, code: str) -> Response:
        """Note that a provider's answer was refused, and return the page to sign in."""
        await self.note(code)
        return await self.failed(next_path, message)

    async def note(self, code: str) -> None:
        """Note for the audit trail that a message in a provider's name was refused."""
        await self._reader.glance(
            lambda session: note_failed_sign_in(session, "provider", UNKNOWN, code)
        )

    async def failed(self, next_path: str, message: str) -> Response:
        """Return the page to sign in, with the reason why nobody is signed in."""
        return await self._page(next_path, message, 401)

    def signed_in(self, request: Request, who: SignedIn, next_path: str) -> Response:
        """Start a session and return the redirection to the page that was wanted."""
        answer = RedirectResponse(next_path, 303)
        session_id = self._guard.sign_in(request, answer, who)
        event = SessionEvent(hash_of_id(session_id), who.who, who.kind)
        answer.background = BackgroundTask(self.record, [event], ended=False)
        return answer

    async def own_session(self, request: Request) -> Response:
        """Return who sends this request, and the acts that their roles refuse."""
        refused = await self._reader.response(
            lambda session: refused_in_project(session, ACTS),
            request.state.identity,
            key="refused acts",
        )
        own_session = self._session_of(request)
        return json_response(msgspec.structs.replace(own_session, refused_acts=refused))

    async def sign_out(self, request: Request) -> Response:
        """End the browser's session; return who it was of."""
        await read_json_body(request)
        own_session = self._session_of(request)
        answer = json_response(own_session)
        browser = request.state.credential.session
        if own_session.session is None:
            return answer
        self._guard.sign_out(request, answer)
        if browser.signed_in.kind is not SignInKind.START_LINK:
            event = SessionEvent(own_session.session, own_session.who, browser.signed_in.kind)
            answer.background = BackgroundTask(self.record, [event], ended=True)
        return answer

    async def _verified(self, form: SignInForm) -> SignedIn | None:
        # argon2 is imported for the first password that is verified
        from headrace.services.users import sign_in

        if self._waiting >= WAITING_MAX:
            raise HttpProblem(503, "too many people sign in at once", "try again in a minute")

        def verify() -> SignedIn | None:
            session = self._reader.session()
            try:
                return sign_in(session, form.name, form.password)
            finally:
                session.close()

        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._passwords, verify)
        finally:
            self._waiting -= 1

    async def record(self, events: list[SessionEvent], *, ended: bool) -> None:
        """Let the leader record that sessions of one person began or ended; they did in any case.

        The person is the actor.
        """
        with contextlib.suppress(HeadraceError):
            await self._reader.submit(
                lambda session: record_later(session, events, ended=ended), events[0].who
            )

    async def _page(self, next_path: str, message: str = "", status: int = 200) -> Response:
        passwords, issuer = await self._reader.glance(_offered)
        body = sign_in_body(next_path, message, passwords=passwords, issuer=issuer)
        html = html_page("Sign in", body)
        return Response(html, status, headers=_PAGE_HEADERS, media_type="text/html; charset=utf-8")

    def _session_of(self, request: Request) -> OwnSessionResponse:
        identity: Identity = request.state.identity
        browser = request.state.credential.session
        return OwnSessionResponse(
            who=identity.who,
            name="" if browser is None else browser.signed_in.label,
            kind=identity.kind,
            session=None if browser is None else hash_of_id(self._guard.session_id(request)),
        )


def _offered(session: ProjectSession) -> tuple[bool, str]:
    """Return whether anybody has a password, and the provider's issuer; empty without one."""
    provider = session.settings.sign_in
    return has_users(session), "" if provider is None else provider.issuer


def sign_in_body(next_path: str, message: str, *, passwords: bool, issuer: str) -> str:
    """Return the HTML of the page to sign in."""
    lines = ["<h1>Sign in to Headrace</h1>"]
    if message:
        lines.append(f'<p class="wrong" role="alert">{escape(message)}</p>')
    if issuer:
        name = urlsplit(issuer).netloc
        address = f"{PROVIDER_PATH}?{urlencode({'next': next_path})}"
        offer = f'<a href="{escape(address)}">Sign in with {escape(name)}</a>'
        if package := missing_package(ROUTES, "sign-in"):
            offer = (
                f"The sign-in with {escape(name)} is in another package: <code>pip install"
                f" {package}</code> where the server runs"
            )
        lines.append(f"<p>{offer}</p>")
    if passwords:
        lines.append(
            f'<form method="post" action="{SIGN_IN_PATH}">'
            f'<input type="hidden" name="next" value="{escape(next_path)}">'
            '<p><label>Name <input name="name" autocomplete="username" required autofocus></label>'
            '</p><p><label>Password <input name="password" type="password" required'
            ' autocomplete="current-password"></label></p><p><button>Sign in</button></p></form>'
        )
    lines.append(
        f"<p>{escape(local_identity().who.removeprefix('user:'))}, who runs this server, opens the"
        " address that <code>headrace serve</code> printed.</p>"
    )
    return "\n".join(lines)


async def read_form(request: Request) -> SignInForm:
    """Return what was typed. Raises HttpProblem for a body that isn't the form of the page."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise HttpProblem(415, f"the body is not {_FORM_TYPE}")
    body = await read_body(request)
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=FORM_FIELDS_MAX))
    except ValueError:  # too many fields, or no UTF-8
        raise HttpProblem(400, "the body is not the form of this page") from None
    return SignInForm(
        fields.get("name", "").strip(),
        fields.get("password", ""),
        safe_path(fields.get("next", "")),
    )


def safe_path(text: str) -> str:
    """Return a page of this server; `/` for any other address."""
    return text if _PATH.fullmatch(text) else "/"


class Throttle:
    """Counts attempts by user name and address; names that don't exist count alike."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, list[float]] = OrderedDict()

    def allows(self, attempt: str) -> bool:
        """Count an attempt; whether it is one of the first ATTEMPTS_MAX in ATTEMPT_SECONDS."""
        now = time.monotonic()
        recent = [at for at in self._attempts.get(attempt, ()) if now - at < ATTEMPT_SECONDS]
        self._attempts[attempt] = recent
        self._attempts.move_to_end(attempt)
        if len(self._attempts) > THROTTLED_NAMES_MAX:
            self._attempts.popitem(last=False)
        if len(recent) >= ATTEMPTS_MAX:
            return False
        recent.append(now)
        return True

    def forget(self, attempt: str) -> None:
        """Forget the attempts of a user who signed in."""
        self._attempts.pop(attempt, None)
