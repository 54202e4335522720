"""The navigation: what exists and may be opened is shown, and one place at most is the current one."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context
from django.test import RequestFactory
from django.urls import NoReverseMatch, reverse

from apps.accounts.models import User
from apps.core import navigation
from apps.core.templatetags.tower import nav

PLACES = [one for group in navigation.GROUPS for one in group.places]


def groups_of(role: str, path: str) -> list[dict]:
    request = RequestFactory().get(path)
    request.user = User(username="u", role=role, is_active=True) if role else AnonymousUser()
    return nav(Context({"request": request}))


def test_every_place_exists():
    for one in PLACES:
        try:
            reverse(one.url_name)
        except NoReverseMatch:  # pragma: no cover
            pytest.fail(f"{one.label} leads nowhere: {one.url_name}")
    assert len({one.label for one in PLACES}) == len(PLACES)
    assert sum(bool(one.phone) for one in PLACES) == 4, "the bottom bar has room for four and 'More'"


def test_roles_hide_places():
    assert "Admin" in str(groups_of("admin", "/"))
    assert "Admin" not in str(groups_of("operations", "/"))


@pytest.mark.parametrize(
    ("path", "label"), [("/", "Board"), ("/flows/7/", "Flows"), ("/integrations/x/mapping/", "Integrations")]
)
def test_the_longest_address_is_the_current_place(path: str, label: str):
    groups = groups_of("admin", path)
    assert [one["label"] for group in groups for one in group["places"] if one["current"]] == [label]
    assert [group["current"] for group in groups].count(True) == 1


def test_nothing_is_current_where_no_place_is():
    assert not any(group["current"] for group in groups_of("admin", "/design/"))
