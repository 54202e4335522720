"""manage.py check_integration SLUG: says in words what a connection still needs."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.collectors.contract import COLLECTORS, Check, Collector
from apps.collectors.sources import context_of
from apps.core import clock
from apps.core.secrets import SecretUnreadable, decrypt
from apps.integrations.models import Credential, Integration, SourceState


class Command(BaseCommand):
    help = (
        "Checks a connection and says which setting, key, right, field or module is missing and what to do. "
        "Exit code 0: it works; 1: something needed is missing; 2: there is no such integration."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the integration")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Integration.objects.select_related("partner", "mapping").filter(slug=options["slug"]).first()
        if found is None:
            raise CommandError(f"There is no integration {options['slug']!r}.", returncode=2)
        checks = list(checks_of(found, clock.now()))
        missing = [one for one in checks if one.needed and not one.good]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in checks], indent=1))
        else:
            for one in checks:
                word = "ok" if one.good else "MISSING" if one.needed else "less"
                self.stdout.write(f"{word:8}{one.sentence}" + (f"\n{'':8}-> {one.advice}" if one.advice else ""))
            end = f"{len(missing)} needed thing(s) missing." if missing else "It works."
            self.stdout.write(f"{found.name}: {end}")
        sys.exit(1 if missing else 0)


def checks_of(integration: Integration, now: datetime) -> Iterator[Check]:
    """What holds for every kind, then what the kind itself says."""
    collector = COLLECTORS.plugins.get(integration.kind)
    if collector is None:
        yield Check(False, f"The kind {integration.kind!r} is not installed.", "Install it, or choose another kind.")
        return
    yield _switched_on(integration)
    yield _settings(integration, collector)
    secrets = _secrets(integration, now)
    unreadable = secrets is None
    yield Check(
        bool(secrets),
        f"{len(secrets)} live credential(s) are stored." if secrets else "No live credential can be used.",
        ""
        if secrets
        else "The stored one cannot be opened (SECRETS_KEYS have changed): store it anew."
        if unreadable
        else "Store the key or secret of the other side as the credential of this integration.",
        needed=collector.has_door or collector.polls,
    )
    if collector.has_door:
        yield Check(
            True, f"Its door is {settings.BASE_URL}/in/{integration.endpoint_id}/ (the secret is not part of it)."
        )
    yield _heard(integration, now)
    yield from collector.check(context_of(integration), secrets or [], now)


def _switched_on(integration: Integration) -> Check:
    closed = (Integration.Lifecycle.PLANNED, Integration.Lifecycle.RETIRED)
    if integration.enabled and integration.lifecycle not in closed:
        return Check(True, f"{integration.name} is enabled ({integration.get_lifecycle_display().lower()}).")
    why = "disabled" if not integration.enabled else integration.get_lifecycle_display().lower()
    return Check(
        False, f"{integration.name} is {why}: nothing is read or taken.", "Enable it, or set it to onboarding."
    )


def _settings(integration: Integration, collector: Collector) -> Check:
    form = collector.ConfigForm(data=dict(integration.settings))
    if form.is_valid():
        return Check(True, "The settings can be used.")
    words = " ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items())
    return Check(False, "The settings cannot be used.", words)


def _secrets(integration: Integration, now: datetime) -> list[str] | None:
    """Live secrets, the newest first; None if one cannot be opened."""
    try:
        return [decrypt(one.ciphertext) for one in Credential.objects.live(now).filter(integration=integration)]
    except SecretUnreadable:
        return None


def _heard(integration: Integration, now: datetime) -> Check:
    state = SourceState.objects.filter(integration=integration).first()
    last = max(filter(None, (state.last_received_at, state.last_success_at)), default=None) if state else None
    if state is None or last is None:
        return Check(
            False, "Nothing was heard from it yet.", "Send a test message, or wait for the first.", needed=False
        )
    minutes = int((now - last).total_seconds() // 60)
    if state.stale_since:
        return Check(False, f"It counts as unheard since {state.stale_since:%Y-%m-%d %H:%M} UTC.", state.stale_reason)
    if state.failures:
        return Check(False, f"Its last {state.failures} reading(s) failed.", state.last_error)
    return Check(True, f"It was last heard {minutes} minute(s) ago.", needed=False)
