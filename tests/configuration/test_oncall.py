"""Schedules of layers and escalation policies in files: loaded, exported, and refused by line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apps.configuration import documents, loading
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.oncall.models import Layer, Override, Schedule
from apps.oncall.rotation import on_call

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BASE = """
teams:
  - {slug: ops, name: Operations}
calendars:
  - {slug: office, name: Office, spec: {zone: UTC, weekly: {mon: [["09:00", "17:00"]]}}}
users:
  - {username: mara, role: on_call, teams: [ops]}
  - {username: jon, role: on_call, teams: [ops]}
"""
ROTA = """
schedules:
  - {team: ops, name: Operations, starts_at: 2026-01-05T08:00:00Z, shift_length: P7D, members: [mara, jon]}
  - slug: nights
    team: ops
    name: Nights
    position: 1
    time_zone: Europe/Berlin
    country: DE
    layers:
      - {name: Week, starts_at: 2026-01-05T08:00:00Z, shift_length: P7D, members: [jon]}
      - name: Night
        starts_at: 2026-01-05T20:00:00+01:00
        shift_length: P1D
        members: [mara, jon]
        hours: [{days: [mon, tue], from: "20:00", to: "08:00"}]
        holidays: never
escalation_policies:
  - slug: night
    name: Night shift
    steps:
      - {targets: [{schedule: nights}]}
      - {after: 10, targets: [{team: ops}, {person: mara}]}
    repeat: 1
    lapse_after: PT2H
escalation_routes:
  - {position: 10, policy: night, severities: [critical], hours: "off", calendar: office}
"""


def load(text: str) -> list[str]:
    return [f"{one.section}:{one.what}" for one in loading.load([documents.parse(text, "x.yaml")], NOW)]


def test_loaded_once_and_exported_to_the_same() -> None:
    assert len(load(BASE + ROTA)) == 8
    assert load(BASE + ROTA) == []
    exported = documents.dump(loading.export())
    assert load(exported) == []
    assert Schedule.objects.count() == 2
    assert Layer.objects.get(name="Night").restrictions == [{"days": ["mon", "tue"], "from": "20:00", "to": "08:00"}]
    assert EscalationPolicy.objects.get().steps[1]["targets"][0] == {"kind": "team", "ref": "ops"}
    assert EscalationRoute.objects.get().hours == "off"
    Schedule.objects.all().delete()
    EscalationPolicy.objects.all().delete()
    assert len(load(exported)) == 4
    assert on_call(Schedule.objects.first().team_id, NOW)[0].username == "mara"  # type: ignore[union-attr]


def test_a_change_keeps_overrides() -> None:
    load(BASE + ROTA)
    nights = Schedule.objects.get(slug="nights")
    user = nights.layers.first().members.first().user  # type: ignore[union-attr]
    Override.objects.create(schedule=nights, user=user, start=NOW, end=datetime(2026, 3, 3, tzinfo=UTC))
    assert load(BASE + ROTA.replace("shift_length: P1D", "shift_length: P2D")) == ["schedules:changed"]
    assert Override.objects.count() == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("shift_length: P1D", "shift_length: PT5M", "at least 10 minutes"),
        ("country: DE", "country: XX", "no holidays known"),
        ("members: [mara, jon]\n        hours", "members: [ghost]\n        hours", "no user 'ghost'"),
        ("days: [mon, tue]", "days: [monday]", "monday"),
        ('from: "20:00"', 'from: "25:00"', "a time in quotes"),
        ("schedule: nights", "schedule: ghost", "no schedule 'ghost'"),
        ("after: 10", "after: 0", "at least a minute"),
        ("person: mara", "pigeon: mara", "pigeon"),
        (', hours: "off"', "", "need a 'calendar'|calendar needs"),
        ("policy: night,", "policy: ghost,", "ghost"),
        ("slug: nights\n    team: ops", "slug: nights\n    team: ghost", "no team 'ghost'"),
        ("2026-01-05T20:00:00+01:00", "2026-01-05T20:00:00", "offset"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, words: str) -> None:
    assert old in ROTA
    with pytest.raises(documents.ConfigError, match=words) as caught:
        load(BASE + ROTA.replace(old, new))
    assert "x.yaml, line" in str(caught.value)
    assert not Schedule.objects.exists()
