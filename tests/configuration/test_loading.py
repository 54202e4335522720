"""Configuration as code: checked with file and line, loaded once, exported to the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.accounts.models import AuditEntry
from apps.configuration.documents import ConfigError, dump, parse, read
from apps.configuration.loading import export, load
from apps.flows.models import FlowDefinition
from apps.integrations.models import Calendar, Integration, Partner
from apps.sla.models import SlaRule

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SHIPPED = sorted((Path(settings.BASE_DIR) / "apps/flows/definition_files").glob("*.yaml"))

SMALL = """
teams:
  - {slug: ops, name: Operations, email: ops@tower.example}
calendars:
  - slug: germany
    name: Germany
    spec: {zone: Europe/Berlin, country: DE, weekly: {mon: [["08:00", "17:00"]]}}
partners:
  - slug: metalworks
    name: Metalworks GmbH
    kind: supplier
    time_zone: Europe/Berlin
    calendar: germany
    identifiers: {gln: ["4012345000009"], scac: [MTWK]}
users:
  - {username: mara, role: on_call, email: mara@tower.example, teams: [ops]}
  - {username: metal, role: partner, partner: metalworks}
integrations:
  - slug: metalworks-edi
    name: Metalworks EDI
    kind: edi
    partner: metalworks
    team: ops
    stale_after: PT6H
schedules:
  - {team: ops, name: Nights, starts_at: 2026-01-05T08:00:00Z, shift_length: P7D, members: [mara]}
"""


@pytest.mark.django_db
def test_loading_twice_changes_nothing_and_export_loads_to_itself() -> None:
    documents = [*(read(path) for path in SHIPPED), parse(SMALL, "small.yaml")]
    assert load(documents, NOW)
    assert load(documents, NOW) == []
    text = dump(export())
    assert load([parse(text, "export.yaml")], NOW) == []
    assert dump(export()) == text
    assert Integration.objects.get().partner == Partner.objects.get()


@pytest.mark.django_db
def test_an_export_fills_an_empty_tower_with_the_same() -> None:
    load([*(read(path) for path in SHIPPED), parse(SMALL, "small.yaml")], NOW)
    text = dump(export())
    for model in (SlaRule, FlowDefinition, Integration):
        model.objects.all().delete()
    load([parse(text, "export.yaml")], NOW)
    assert dump(export()) == text


@pytest.mark.django_db
def test_a_change_makes_a_new_version_and_keeps_the_old() -> None:
    load([parse(SMALL, "small.yaml")], NOW)
    changes = load([parse(SMALL.replace('"17:00"', '"18:00"'), "small.yaml")], NOW)
    assert [(c.section, c.key, c.what) for c in changes] == [("calendars", "germany", "version 2")]
    assert Calendar.objects.filter(slug="germany").count() == 2
    assert AuditEntry.objects.filter(subject="calendars:germany").count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "partners:\n  - slug: a\n    name: A\n    kind: airline\n",
            "x.yaml, line 4: partners.0.kind: expected one of carrier",
        ),
        ("partners:\n  - slug: a\n    name: A\n", "x.yaml, line 2: partners.0: 'kind' is a required property"),
        ("partnrs: []\n", "x.yaml, line 1"),
        ("partners:\n  - {slug: a, name: A, kind: carrier, time_zone: Mars/Base}\n", "expected an IANA time zone"),
        ("partners:\n  - slug: a\n    slug: b\n", "x.yaml, line 3: 'slug' stands here a second time"),
        ("partners: [\n", "not valid YAML"),
        ("- a\n", "expected sections"),
        (
            "integrations:\n  - slug: i\n    name: I\n    kind: pigeon\n",
            "x.yaml, line 4: no collector of kind 'pigeon'",
        ),
        (
            "integrations:\n  - slug: i\n    name: I\n    kind: edi\n    partner: nobody\n",
            "x.yaml, line 5: there is no partner 'nobody'",
        ),
        (
            "rules:\n  - slug: r\n    name: R\n    flow: ghost\n    milestone: m\n    spec: {due: {date: eta}}\n",
            "x.yaml, line 4: there is no flow 'ghost'",
        ),
        (
            "calendars:\n  - slug: c\n    name: C\n    spec: {zone: UTC, weekly: {monday: [['08:00', '17:00']]}}\n",
            "x.yaml, line 4: 'monday' was unexpected",
        ),
        (
            "calendars:\n  - slug: c\n    name: C\n    spec: {zone: Mars/Base, weekly: {mon: [['08:00', '17:00']]}}\n",
            "x.yaml, line 4:",
        ),
        (
            "integrations:\n  - slug: i\n    name: I\n    kind: webhook\n    settings: {scheme: smoke}\n",
            "x.yaml, line 5: settings of kind webhook: scheme",
        ),
    ],
)
def test_errors_name_file_line_and_what_is_expected(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([parse(text, "x.yaml")], NOW)
    assert expected in str(caught.value)
    assert not Partner.objects.exists()


@pytest.mark.django_db
def test_one_bad_file_loads_nothing_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text("partners:\n  - {slug: A B, name: x, kind: carrier}\n")
    with pytest.raises(CommandError, match=r"bad\.yaml, line 2"):
        call_command("load_config", str(tmp_path))
    assert not Partner.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("due: {date: eta}, zone: Mars/Base", "Mars/Base"),
        (
            "check: {quantity: {got: gott, of: ordered}}",
            "remembers 'gott', so this could never be found; it remembers lane",
        ),
        ("due: {date: eta}, calendar: nobody", "there is no calendar 'nobody'"),
        ("due: {date: eta}, source: nobody", "there is no integration 'nobody'"),
    ],
)
def test_a_rule_that_nothing_could_follow_is_refused(more: str, expected: str) -> None:
    load([read(path) for path in SHIPPED], NOW)
    rule = "rules:\n  - slug: r\n    name: R\n    flow: purchase\n    milestone: asn\n    spec: {%s}\n"
    with pytest.raises(ConfigError, match=expected):
        load([parse(rule % more, "x.yaml")], NOW)


@pytest.mark.django_db
def test_a_mapping_loaded_alone_takes_effect() -> None:
    text = """
mappings:
  - slug: m
    spec: {events: [{type: order.placed, happened_at: $.at, references: [{kind: sales_order, path: $.so}]}]}
integrations:
  - {slug: i, name: I, kind: webhook, mapping: m}
"""
    load([parse(text, "x.yaml")], NOW)
    alone = text.split("integrations:")[0].replace("$.so", "$.order")
    load([parse(alone, "x.yaml")], NOW)
    integration = Integration.objects.select_related("mapping").get()
    assert integration.mapping is not None
    assert integration.mapping.version == 2
    exported = dump(export())
    assert load([parse(exported, "export.yaml")], NOW) == []
