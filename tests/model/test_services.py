"""The notification services that `validate` knows without loading apprise."""

from __future__ import annotations

import pytest

from headrace.model.secrets import APPRISE_SERVICES, unknown_service


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_they_are_those_of_apprise() -> None:
    from apprise import Apprise
    from apprise.manager_plugins import NotificationManager

    Apprise.instantiate("json://localhost")  # loads its services
    assert set(NotificationManager().schemas()) == APPRISE_SERVICES


@pytest.mark.parametrize(
    ("url", "unknown"),
    [
        ("https://a.example/hook", None),
        ("SLACK://a/b/c", None),
        ("mailto:a@b.example", None),
        ("file:messages", None),
        ("${OPS_URL}", None),
        ("ftp://a.example", "ftp"),
        ("hdfs://a.example", "hdfs"),
        ("slcak://${TOKEN}", "slcak"),
    ],
)
def test_a_scheme_that_no_service_has_is_named(url: str, unknown: str | None) -> None:
    assert unknown_service(url) == unknown
