"""The signed address in a message: good for one incident, one person, one day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from hypothesis import given
from hypothesis import strategies as st

from apps.incidents import links
from tests.incidents.builders import NOW


def test_read_gives_back_what_was_signed() -> None:
    link = links.read(links.sign(12, 7, NOW), NOW + timedelta(hours=24) - timedelta(seconds=1))
    assert (link.incident_id, link.user_id, link.expires_at) == (12, 7, NOW + timedelta(hours=24))


def test_after_a_day_it_has_expired_and_still_leads_to_the_incident() -> None:
    with pytest.raises(links.LinkExpired, match="sign in") as caught:
        links.read(links.sign(12, 7, NOW), NOW + timedelta(hours=24))
    assert caught.value.incident_id == 12


@given(place=st.integers(0, 200), letter=st.sampled_from("0123456789.:-_abcXYZ"))
def test_any_change_is_noticed(place: int, letter: str) -> None:
    token = links.sign(12, 7, NOW)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(links.LinkNotValid):
            links.read(changed, NOW)


@pytest.mark.parametrize("token", ["", ":", "1.2.3", "1.2.3:", "\x00", "é:é", "9" * 5000])
def test_rubbish_is_refused(token: str) -> None:
    with pytest.raises(links.LinkNotValid):
        links.read(token, NOW)


def test_a_signature_made_for_something_else_is_no_link() -> None:
    with pytest.raises(links.LinkNotValid):
        links.read(signing.Signer(salt="session").sign("12.7.9999999999"), NOW)


def test_addresses(settings: Any) -> None:
    settings.BASE_URL = "https://tower.example/"
    assert links.incident_url(12) == "https://tower.example/incidents/12/"
    url = links.acknowledge_url(12, 7, NOW)
    prefix = "https://tower.example/incidents/acknowledge/"
    assert url.startswith(prefix)
    assert links.read(url.removeprefix(prefix).rstrip("/"), NOW).user_id == 7
