"""`headrace badge`: a signed link to the badge of a consumer."""

from __future__ import annotations

from headrace.extension import CommandOutput, ServiceCommand
from headrace_ui.responses.badges import BadgeLinkResponse

NO_SERVER = "the addresses lack the server: declare `url` of `[serve]` in headrace.toml"


def render_badge(response: BadgeLinkResponse, page: CommandOutput) -> None:
    """Print where the badge is, until when, and the line for a README."""
    page.raw(response.url or response.path)
    if response.until is None:
        page.say("everybody who reaches the server gets it: `badge: public`", "dim")
    else:
        page.say(f"whoever has the link gets it, until {response.until}", "dim")
    page.raw(f"in Markdown: {response.markdown}")
    page.raw(f"as a card: {response.iframe}")
    if response.url is None:
        page.say(NO_SERVER, "dim")


badge_command = ServiceCommand("headrace_ui.services.badges:badge_link", render_badge)
