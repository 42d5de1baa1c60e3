"""What `erase` says before it erases."""

from __future__ import annotations

from clilab import NOW, Project


def test_environments_with_data_of_their_own_are_named(shop: Project) -> None:
    """Would catch: a plan, and a certificate, that don't name an environment that a branch has
    built from the person's rows."""
    settings = shop.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[environments.dev]\n[environments.idle]\n")
    (shop.root / ".headrace/env/dev").mkdir(parents=True)
    plan = shop.json(
        "erase", "request-1", "--where", "orders.customer = 'Ada'", "--dry-run", "--now", NOW
    )
    named = [row["why"] for row in plan["places"] if row["what"] == "environment"]
    assert named == [
        "the environment dev has data of its own: run the command there, too: --env dev"
    ]
