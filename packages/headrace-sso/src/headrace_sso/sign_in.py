"""Sign-in by an OpenID Connect provider: the way there and back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.extension import HeadraceError, HttpProblem, HttpRoute, ProjectSession, ServerContext
from headrace.model import SignIn
from headrace.security.secrets import Secrets
from headrace.security.sessions import SignedIn, SignInKind
from headrace.services.browser_sessions import SessionEvent, signed_in
from headrace.web.access import Guard
from headrace.web.http import read_body
from headrace.web.project_reader import ProjectReader
from headrace.web.sign_in import FORM_FIELDS_MAX, PROVIDER_PATH, SignInEndpoints, safe_path

if TYPE_CHECKING:
    from headrace_sso.oidc import LoggedOut, Person, Provider, Started

CALLBACK_PATH = f"{PROVIDER_PATH}/callback"
LOGOUT_PATH = f"{PROVIDER_PATH}/logout"
STARTED_SECONDS = 600.0
"""How long somebody may take at the provider."""
STARTED_MAX = 1_000
THREADS = 4
"""Requests to the provider at once; it may take ten seconds to answer."""
WAITING_MAX = 32
A = TypeVar("A")


def routes(context: ServerContext) -> list[HttpRoute]:
    """Return the routes of the sign-in, which nobody who uses them has signed in for yet."""
    pages = SignInEndpoints(context.reader, context.guard)
    provider = ProviderEndpoints(context.reader, context.guard, pages)
    return [
        HttpRoute(path=PROVIDER_PATH, handler=provider.start, needs=None),
        HttpRoute(path=CALLBACK_PATH, handler=provider.callback, needs=None),
        HttpRoute(path=LOGOUT_PATH, handler=provider.logout, needs=None, method="POST"),
    ]


class _Pending(NamedTuple):
    """A sign-in that has begun in a browser."""

    started: Started
    browser: str
    """The value of the cookie that binds it to one browser."""
    next_path: str
    began_at: float


class ProviderEndpoints:
    """The endpoints of one server that are about its provider."""

    def __init__(self, reader: ProjectReader, guard: Guard, pages: SignInEndpoints) -> None:
        self._reader, self._guard, self._pages = reader, guard, pages
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._provider: tuple[SignIn, Provider] | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="headrace provider")
        self._waiting = 0

    async def start(self, request: Request) -> Response:
        """Send the browser to the provider."""
        next_path = safe_path(request.query_params.get("next", ""))
        scheme = "https" if self._guard.is_secure(request) else "http"
        redirect_uri = f"{scheme}://{request.headers['host']}{CALLBACK_PATH}"
        try:
            provider = await self._current()
            started = await self._ask(lambda: provider.start(redirect_uri))
        except HeadraceError as error:
            return await self._pages.failed(next_path, str(error))
        browser = secrets.token_urlsafe(32)
        now = time.monotonic()
        while self._pending and (
            len(self._pending) >= STARTED_MAX
            or now - next(iter(self._pending.values())).began_at > STARTED_SECONDS
        ):
            self._pending.popitem(last=False)
        self._pending[started.state] = _Pending(started, browser, next_path, now)
        answer = RedirectResponse(started.url, 303)
        self._guard.set_cookie(
            request, answer, self._cookie(request), browser, seconds=int(STARTED_SECONDS)
        )
        return answer

    async def callback(self, request: Request) -> Response:
        """Take the provider's answer, which is valid once and in the browser that asked for it."""
        sent = request.query_params
        pending = self._pending.pop(sent.get("state", ""), None)
        if pending is None or time.monotonic() - pending.began_at > STARTED_SECONDS:
            return await self._pages.refused(
                "/", "This sign-in has ended or was used before.", "state"
            )
        cookie = request.cookies.get(self._cookie(request), "")
        if not secrets.compare_digest(cookie.encode(), pending.browser.encode()):
            return await self._pages.refused(
                "/", "This sign-in was begun in another browser.", "browser"
            )
        try:
            provider = await self._current()
            if sent.get("iss", provider.issuer) != provider.issuer:
                return await self._pages.refused(
                    "/", "The answer is of another provider.", "issuer"
                )
            if "error" in sent or not sent.get("code"):
                text = f"The provider refused: {sent.get('error', 'no code')[:100]}"
                return await self._pages.refused(pending.next_path, text, "no_code")
            person = await self._ask(lambda: provider.finish(pending.started, sent["code"]))
            who = await self._reader.glance(lambda session: _signed_in(session, person))
        except HeadraceError as error:
            return await self._pages.refused(pending.next_path, str(error), "answer")
        answer = self._pages.signed_in(request, who, pending.next_path)
        self._guard.set_cookie(request, answer, self._cookie(request), "", seconds=0)
        return answer

    async def logout(self, request: Request) -> Response:
        """End the sessions that the provider has ended: it sends a signed token (back-channel)."""
        body = await read_body(request)
        try:
            fields = dict(parse_qsl(body.decode(), max_num_fields=FORM_FIELDS_MAX))
            provider = await self._current()
            token = fields.get("logout_token", "")
            logged_out = await self._ask(lambda: provider.logged_out(token))
        except (ValueError, HeadraceError) as error:
            await self._pages.note("logout_token")
            raise HttpProblem(400, f"no session is ended: {error}") from None
        ended = self._guard.sessions.end_where(
            lambda _, person: _is_of(person, provider.issuer, logged_out)
        )
        events = [
            SessionEvent(session_id, session.signed_in.who, session.signed_in.kind)
            for session_id, session in ended.items()
        ]
        record = BackgroundTask(self._pages.record, events, ended=True) if events else None
        return Response(status_code=200, background=record)

    async def _ask(self, do: Callable[[], A]) -> A:
        """Run what may ask the provider in a thread. Raises HttpProblem if too many wait for it."""
        if self._waiting >= WAITING_MAX:
            raise HttpProblem(503, "too many people sign in at once", "try again in a minute")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, do)
        finally:
            self._waiting -= 1

    async def _current(self) -> Provider:
        settings, secret = await self._reader.glance(_settings)
        if self._provider is None or self._provider[0] != settings:
            # authlib is imported for the first sign-in at a provider
            from headrace_sso.oidc import Provider

            self._provider = settings, Provider(settings, secret)
        return self._provider[1]

    def _cookie(self, request: Request) -> str:
        return f"{self._guard.cookie_name(request)}_sign_in"


def _settings(session: ProjectSession) -> tuple[SignIn, str]:
    """Return the provider's settings and the client's secret."""
    settings = session.settings.sign_in
    if settings is None:
        raise HttpProblem(404, "this project has no [sign_in] in headrace.toml")
    return settings, str(Secrets(session.root).resolved(settings.client_secret))


def _signed_in(session: ProjectSession, person: Person) -> SignedIn:
    return signed_in(
        session,
        SignInKind.OIDC,
        person.who,
        person.groups,
        label=person.label,
        provider=(person.issuer, person.subject, person.session),
    )


def _is_of(person: SignedIn, issuer: str, ended: LoggedOut) -> bool:
    """Whether a session is one of those that the provider has ended.

    A session whose ID token had no `sid` ends with every session of its person.
    """
    if person.kind is not SignInKind.OIDC or person.issuer != issuer:
        return False
    if ended.subject and person.subject != ended.subject:
        return False
    if ended.session and person.provider_session:
        return person.provider_session == ended.session
    return bool(ended.subject)
