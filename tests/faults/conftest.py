"""What a project comes to if nobody disturbs it."""

from __future__ import annotations

import pytest
from campaign import undisturbed
from faults_lab import Project, World
from warm_fork_servers import headrace

Project.undisturbed = staticmethod(headrace)


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, float]:
    """What it comes to, and the seconds that it takes."""
    return undisturbed(tmp_path_factory.mktemp("quiet"))
