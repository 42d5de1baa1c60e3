"""Whether the catalog says where the lake is: in a project that was moved or copied, it names the old place."""

from __future__ import annotations

from headrace.lake import catalog
from headrace.operations.session import ProjectSession
from headrace.store import Transaction

CORRECT = "headrace tick (every command that writes corrects it)"


def moved(session: ProjectSession, tx: Transaction) -> str:
    """What is wrong with the catalog's data path, in words; empty where it is the lake's folder, or there is no catalog yet.

    Headrace reads the project's own folder all the same; DuckLake's other readers don't."""
    if catalog.missing(tx):
        return ""
    text = catalog.data_path(tx)
    if catalog.names(text, session.folders.lake):
        return ""
    return (
        f"the catalog says that the lake is {text}, and it is {session.folders.lake}:"
        " programs that attach the catalog by themselves read the other folder"
    )


def elsewhere(session: ProjectSession) -> str:
    """`moved` in a transaction of its own; empty where there is no state yet."""
    if session.store is None:
        return ""
    with session.store.read() as tx:
        return moved(session, tx)
