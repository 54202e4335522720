"""Invariant 9, over every address of the tower: deny by default, and another's looks like what is not there.

A new address must declare a policy, and if it names an object, `_values` must know one; else these tests fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import get_resolver
from django.urls.resolvers import URLPattern
from django.utils.regex_helper import normalize

from apps.accounts.models import ApiClient
from apps.collectors.directory import DIRECTORY
from apps.collectors.doors import door
from apps.core import clock
from apps.core.policies import Policy, check, policy_of
from tests.api.world import Side, World, build, machine, person

MISSING = 999_999_999
STAFF = ("operations", "on_call", "manager", "admin")
OUTSIDERS = ("anonymous", "partner", "token without scope", "partner token")
ROLES = (*OUTSIDERS, *STAFF, "token")
#: differ from one answer to the next, whatever is asked
VOLATILE = {"X-Request-ID", "Content-Length", "Date"}


@dataclass(frozen=True)
class Address:
    """One leaf of the URLconf. parts: the pattern with its parameters as ``%(name)s``."""

    route: str
    pattern: str
    parameters: tuple[str, ...]
    callback: Any

    @property
    def policy(self) -> Policy | None:
        return policy_of(self.callback)


def addresses() -> list[Address]:
    return list(_walk(get_resolver().url_patterns, "/", "/", ()))


def _walk(patterns: Any, route: str, pattern: str, parameters: tuple[str, ...]) -> Iterator[Address]:
    for one in patterns:
        text, names = normalize(one.pattern.regex.pattern.replace(r"\Z", "$"))[0]
        whole = route + str(one.pattern), pattern + text, (*parameters, *names)
        if isinstance(one, URLPattern):
            yield Address(*whole, one.callback)
        else:
            yield from _walk(one.url_patterns, *whole)


ALL = addresses()


def test_every_address_declares_its_policy() -> None:
    assert len(ALL) > 50
    assert [one.route for one in ALL if one.policy is None] == []


def test_only_doors_and_the_api_are_exempt_from_csrf() -> None:
    exempt = [one for one in ALL if getattr(one.callback, "csrf_exempt", False)]
    by_machine = [one for one in exempt if one.callback is door]
    assert {one.route for one in by_machine} == {one.route for one in ALL if one.route.startswith("/in/")}
    # DRF exempts its views and has its session authentication check instead (tests/api/test_callers.py tries that)
    others = [one for one in exempt if one.callback is not door]
    assert {one.route for one in others} == {one.route for one in ALL if one.route.startswith("/api/v1/")}


@pytest.fixture
def world(db: None) -> Iterator[World]:
    cache.clear()
    DIRECTORY.forget()
    # pages tell the time: it stands still, so that two answers differ only in what they know
    with override_settings(API_REQUESTS_PER_MINUTE=10**9), time_machine.travel(clock.now(), tick=False):
        yield build()
    cache.clear()
    DIRECTORY.forget()


def visitor(role: str, world: World) -> Callable[[], Client]:
    """Makes equal clients of one caller."""
    if role == "anonymous":
        return Client
    makers: dict[str, Callable[[], Client]] = {
        "partner": lambda: person("partner", world.own.partner),
        "partner token": lambda: machine(partner=world.own.partner),
        "token without scope": scopeless,
        "token": machine,
    }
    first = makers[role]() if role in makers else person(role)

    def another() -> Client:
        client = Client(headers={k.removeprefix("HTTP_").lower(): v for k, v in first.defaults.items()})
        client.cookies.load({name: morsel.value for name, morsel in first.cookies.items()})
        return client

    return another


def scopeless() -> Client:
    """A token that may do nothing: such a one is not issued, but one could be left without."""
    client = machine("reports:read")
    ApiClient.objects.filter(pk=ApiClient.objects.latest("pk").pk).update(scopes=[])
    return client


def _values(address: Address, side: Side | None) -> dict[str, str]:
    """The parameters of an address for one partner's objects; None: for objects that do not exist."""
    parts = address.pattern.strip("/").split("/")
    found = {}
    for name in address.parameters:
        before = parts[next(n for n, part in enumerate(parts) if f"%({name})s" in part) - 1]
        key = (before, name)
        numbers = {
            ("flows", "pk"): side and side.flow.pk,
            ("expectations", "pk"): side and side.expectation.pk,
            ("expectations", "expectation"): side and side.expectation.pk,
            ("items", "pk"): side and side.expectation.pk,
            ("messages", "pk"): side and side.event.pk,
            ("receipts", "pk"): side and side.receipt,
            ("incidents", "pk"): side and side.incident.pk,
            ("files", "file"): MISSING,
            ("dead-letters", "pk"): side and side.letter.pk,
            ("saved", "pk"): MISSING,
            ("replays", "pk"): MISSING,
            ("anomalies", "pk"): MISSING,
            ("causes", "pk"): MISSING,
            ("overrides", "pk"): MISSING,
            ("swaps", "pk"): MISSING,
            ("notes", "pk"): MISSING,
            ("lines", "pk"): MISSING,
            ("maintenance", "pk"): MISSING,
            ("person", "pk"): MISSING,
            ("spans", "pk"): MISSING,
            ("credentials", "pk"): MISSING,
            ("methods", "pk"): MISSING,
            ("archive", "pk"): MISSING,
            ("schedules", "pk"): MISSING,
            ("waivers", "pk"): MISSING,
        }
        texts = {
            ("integrations", "slug"): side.integration.slug if side else "no-such-feed",
            ("rules", "slug"): "order-delivered" if side else "no-such-rule",
            ("versions", "version"): "1" if side else "999999",
            ("calendars", "slug"): "no-such-calendar",
            ("contract-terms", "slug"): "no-such-term",
            ("rules", "rule"): "order-delivered" if side else "no-such-rule",
            ("calendars", "calendar"): "no-such-calendar",
            ("alerts", "source"): "alertmanager" if side else "no-such-tool",
            ("runbooks", "slug"): "no-such-runbook",
            ("s", "slug"): "no-such-schedule",
            ("p", "slug"): "no-such-policy",
            ("feed", "slug"): "no-such-schedule",
            ("%(slug)s", "token"): "not-its-token",
            ("%(pk)s", "token"): "not-its-token",
            ("channels", "slug"): "no-such-channel",
            ("objectives", "slug"): "no-such-objective",
            ("scorecards", "slug"): side.partner.slug if side else "no-such-partner",
            ("months", "month"): "2026-03" if side else "2026-99",
            ("file", "kind"): "pdf" if side else "exe",
            ("%(pk)s", "verb"): "off" if side else "explode",
            ("add", "kind"): "webhook" if side else "no-such-kind",
            ("in", "endpoint_id"): side.integration.endpoint_id if side else "AAAAAAAAAAAAAAAAAAAAAA",
            ("%(endpoint_id)s", "rest"): "v1/traces",
            ("acknowledge", "token"): "not-a-signed-token",
            ("swap", "token"): "not-a-signed-token",
            ("first-admin", "token"): "not-a-signed-token",
        }
        if key in numbers:
            found[name] = str(numbers[key] or MISSING)
        elif key in texts:
            found[name] = texts[key]
        elif address.route.startswith("/admin/"):
            found[name] = {"app_label": "accounts", "url": "x", "content_type_id": "1"}.get(name, str(MISSING))
        else:
            pytest.fail(f"{address.route}: say in _values which object {before}/<{name}> names")
    return found


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def says(self, text: str) -> bool:
        return text in self.body.decode("utf-8", "replace") or text in str(self.headers)

    def without(self, path: str) -> Answer:
        """With what the address itself said taken out, so that two addresses can be compared."""
        body, headers = self.body.decode("utf-8", "replace"), str(sorted(self.headers.items()))
        for spelling in {path, quote(path), quote(path, safe="")}:
            body, headers = body.replace(spelling, "<it>"), headers.replace(spelling, "<it>")
        body = re.sub(r"[A-Za-z0-9]{64}", "<csrf>", body)
        return Answer(self.status, {"all": headers}, body.encode())


def ask(client: Client, method: str, address: Address, values: dict[str, str]) -> Answer:
    path = address.pattern % values
    body = {} if method == "get" else {"data": {}, "content_type": "application/json"}
    found = getattr(client, method)(path, **body)
    content = b"".join(found.streaming_content) if found.streaming else found.content
    headers = {name: value for name, value in found.headers.items() if name not in VOLATILE}
    return Answer(found.status_code, headers, content)


def rows_changed() -> int:
    """Rows this transaction has written so far, savepoints included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables")
        return int(cursor.fetchone()[0])


def _expected(role: str, address: Address, rule: Policy) -> set[int] | None:
    """Statuses this policy allows for this caller; None: the view itself decides."""
    if rule.kind in ("public", "machine"):
        return None
    is_person = role == "partner" or role in STAFF
    who = type("Who", (), {"is_authenticated": is_person, "is_active": True, "role": role, "is_superuser": False})()
    verdict = check(rule, who)
    if verdict == "missing" and address.route == "/" and role == "partner":
        return {302}  # to the own first page
    return {"allow": None, "sign_in": {302, 401}, "missing": {404}, "forbidden": {403}}[verdict]


@pytest.mark.parametrize("role", ROLES)
def test_every_address_for_everybody(world: World, role: str) -> None:
    """Own, foreign and missing objects by GET: the declared policy holds, nothing leaks, nothing changes, no 5xx."""
    fresh = visitor(role, world)
    bound = role in ("partner", "partner token")
    wrong: list[str] = []
    for address in ALL:
        rule = address.policy
        assert rule is not None
        answers: dict[str, Answer] = {}
        said = {}
        for which, side in (("own", world.own), ("foreign", world.foreign), ("missing", None)):
            if (which != "own" and not address.parameters) or (which == "foreign" and role in STAFF):
                continue
            said[which] = _values(address, side)
            before = rows_changed()
            answers[which] = answer = ask(fresh(), "get", address, said[which])
            here = f"{role} GET {address.route} ({which}): {answer.status}"
            if rows_changed() != before:
                wrong.append(f"{here} changed {rows_changed() - before} rows")
            expected = _expected(role, address, rule)
            if expected is not None and answer.status not in expected:
                wrong.append(f"{here}, but the policy {rule} wants {sorted(expected)}")
            if answer.status >= 500 and address.route != "/readyz":
                wrong.append(f"{here} is a defect")
            if role in OUTSIDERS and answer.says(world.foreign.canary):
                wrong.append(f"{here} shows another partner's canary")
            if role in OUTSIDERS and not bound and answer.says(world.own.canary):
                wrong.append(f"{here} shows a partner's canary")
        if role in OUTSIDERS and "foreign" in answers:
            foreign, missing = (
                answers[which].without(address.pattern % said[which]) for which in ("foreign", "missing")
            )
            if foreign != missing:
                wrong.append(
                    f"{role} GET {address.route}: foreign ({foreign.status}) looks unlike missing ({missing.status})"
                )
    assert wrong == []


@pytest.mark.parametrize("role", OUTSIDERS)
def test_changing_what_is_anothers_looks_like_changing_nothing(world: World, role: str) -> None:
    """POST to foreign and missing objects: the same answer, and no row of a partner is touched."""
    fresh = visitor(role, world)
    wrong: list[str] = []
    for address in ALL:
        rule = address.policy
        assert rule is not None
        if not address.parameters or address.route.startswith("/admin/"):
            continue
        answers = []
        for side in (world.foreign, None):
            values = _values(address, side)
            before = rows_changed()
            with transaction.atomic():
                answer = ask(fresh(), "post", address, values)
                # the doors count whom they turn away
                if rows_changed() != before and not address.route.startswith("/in/"):
                    wrong.append(f"{role} POST {address.route} changed rows: {answer.status}")
                transaction.set_rollback(True)
            if answer.status < 400 and answer.status not in (302,):
                wrong.append(f"{role} POST {address.route}: {answer.status}")
            if answer.status >= 500 or answer.says(world.foreign.canary):
                wrong.append(f"{role} POST {address.route}: {answer.status}, or the canary is shown")
            answers.append(answer.without(address.pattern % values))
        if answers[0] != answers[1]:
            wrong.append(
                f"{role} POST {address.route}: foreign ({answers[0].status}) unlike missing ({answers[1].status})"
            )
    assert wrong == []


def test_partners_do_see_their_own(world: World) -> None:
    """The walk would be worth nothing if partners saw nothing at all."""
    shown = {
        role: {
            address.route
            for address in ALL
            if ask(fresh(), "get", address, _values(address, world.own)).says(world.own.canary)
        }
        for role, fresh in ((role, visitor(role, world)) for role in ("partner", "partner token"))
    }
    api = {"/api/v1/^flows/$", "/api/v1/^flows/(?P<pk>[0-9]{1,18})/$", "/api/v1/^integrations/$"}
    assert api | {"/status/"} <= shown["partner"]
    assert api | {"/api/v1/integrations/<slug:slug>/receipts/<int:pk>/"} <= shown["partner token"]


def test_queries_that_mean_harm_are_no_defects(world: World) -> None:
    """NUL, half a character, huge numbers and unknown names in the query string of every page and list."""
    names = [*("q", "partner", "flow", "state", "page", "cursor", "month", "kind", "type", "integration", "next", "pk")]
    names += ["after", "severity", "team", "code", "milestone", "from", "to", "id", "undo", "zone"]
    values = ["%00", "%ED%A0%80", "9" * 30, "9999-99", "2026-03-02T08:00:00%2B00:00_" + "9" * 30, "%27--"]
    harm = ["&".join(f"{name}={value}" for name in names) for value in values]
    for role in ("admin", "partner", "token"):
        fresh = visitor(role, world)
        for address in ALL:
            if address.parameters or address.route.startswith("/admin/") or address.route == "/readyz":
                continue
            for query in harm:
                found = fresh().get(f"{address.pattern % {}}?{query}")
                assert found.status_code < 500, (role, address.route, query, found.status_code)
                if found.status_code in (302, 401, 403, 404):
                    break  # turned away whatever it asks
