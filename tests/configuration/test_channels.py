"""Channels in files: loaded, exported to the same, refused by line; no secret in a file, an error or an export."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.configuration import channels, documents, loading
from apps.notifications import keeping
from apps.notifications.contract import CHANNELS
from apps.notifications.models import Channel
from tests.notifications.samples import SAMPLES

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FILE = """
teams:
  - {slug: ops, name: Operations}
channels:
  - slug: night-room
    name: Night shift room
    kind: ntfy
    team: ops
    listens: true
    min_severity: high
    settings: {base_url: "https://ntfy.example", to: nights, allow_networks: [10.20.0.0/16]}
    secrets: {token: "${NIGHT_TOKEN}"}
  - slug: pager
    name: Pager
    kind: pagerduty
    secrets: {routing_key: "${PAGER_KEY}"}
"""
TOKEN, KEY = "tk_night-secret-token", "pagerduty-secret-routing-key"


def load(text: str) -> list[str]:
    return [f"{one.key}:{one.what}" for one in loading.load([documents.parse(text, "x.yaml")], NOW)]


def exported() -> str:
    data = loading.export()
    return documents.dump({name: data[name] for name in ("teams", "channels")})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHT_TOKEN", TOKEN)
    monkeypatch.setenv("PAGER_KEY", KEY)


def test_loaded_once_and_exported_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(FILE) == ["ops:created", "night-room:created", "pager:created"]
    assert load(FILE) == []
    room = Channel.objects.get(slug="night-room")
    assert keeping.live_secrets(room, NOW) == {"token": TOKEN}
    assert room.config["allow_networks"] == ["10.20.0.0/16"]
    assert Channel.objects.get(slug="pager").config["base_url"] == "https://events.pagerduty.com"
    said = exported()
    assert TOKEN not in said
    assert KEY not in said
    assert "${TOWER_CHANNEL_NIGHT_ROOM_TOKEN}" in said
    assert load(said) == [], "the variables are not set: what is kept stays"
    assert keeping.live_secrets(Channel.objects.get(slug="night-room"), NOW) == {"token": TOKEN}
    Channel.objects.all().delete()
    monkeypatch.setenv("TOWER_CHANNEL_NIGHT_ROOM_TOKEN", TOKEN)
    monkeypatch.setenv("TOWER_CHANNEL_PAGER_ROUTING_KEY", KEY)
    load(said)
    assert exported() == said
    assert keeping.live_secrets(Channel.objects.get(slug="pager"), NOW) == {"routing_key": KEY}
    assert TOKEN not in str(list(AuditEntry.objects.values_list("before", "after")))


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_every_kind_comes_back_as_it_was(kind: str) -> None:
    config, secrets, _ = SAMPLES[kind]
    form = CHANNELS.get(kind).ConfigForm(
        {name: one.initial for name, one in CHANNELS.get(kind).ConfigForm().fields.items() if one.initial is not None}
        | {name: value.format(url="https://receiver.example") for name, value in config.items()}
    )
    assert form.is_valid(), form.errors
    row = Channel(slug="a-b", name="One", kind=kind)
    row.config = {name: value for name, value in form.cleaned_data.items() if value not in ("", None, [])}
    given = {name: value.format(url="https://receiver.example") for name, value in secrets.items()}
    keeping.save(row, given, None, NOW)
    said = documents.dump({"channels": list(channels.channels())})
    assert load(said) == []
    assert not any(value in said for value in given.values())
    kept = Channel.objects.values("config", "hints", "enabled", "disabled_because").get()
    Channel.objects.all().delete()
    load(said)
    row = Channel.objects.get()
    assert row.config == kept["config"]
    assert documents.dump({"channels": list(channels.channels())}) == said, "also without its secrets"


def test_without_its_secret_it_is_kept_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGER_KEY")
    load(FILE)
    pager = Channel.objects.get(slug="pager")
    assert not pager.enabled
    assert "TOWER_CHANNEL_PAGER_ROUTING_KEY" in pager.disabled_because
    assert load(FILE) == []
    monkeypatch.setenv("PAGER_KEY", KEY)
    assert load(FILE) == ["pager:changed"]
    assert Channel.objects.get(slug="pager").enabled


def test_a_new_secret_replaces_the_kept_one_and_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    load(FILE)
    pager = Channel.objects.get(slug="pager")
    keeping.switch(pager, False, None, NOW, because="The key is refused.")
    assert load(FILE) == [], "what the tower switched off is no configuration"
    assert "enabled: false" not in exported()
    monkeypatch.setenv("PAGER_KEY", "another-routing-key-1")
    assert load(FILE) == ["pager:changed"]
    pager.refresh_from_db()
    assert (pager.enabled, pager.disabled_because) == (True, "")
    assert keeping.live_secrets(pager, NOW) == {"routing_key": "another-routing-key-1"}


def test_off_and_on_by_the_file() -> None:
    load(FILE)
    off = FILE.replace("kind: pagerduty", "kind: pagerduty\n    enabled: false")
    assert load(off) == ["pager:changed"]
    assert load(off) == []
    assert "enabled: false" in exported()
    assert load(FILE) == ["pager:changed"]
    assert Channel.objects.get(slug="pager").enabled


def test_a_kept_secret_does_not_follow_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    load(FILE)
    moved = FILE.replace("https://ntfy.example", "https://evil.example")
    monkeypatch.delenv("NIGHT_TOKEN")
    with pytest.raises(documents.ConfigError, match="leads to another address"):
        load(moved)
    assert Channel.objects.get(slug="night-room").config["base_url"] == "https://ntfy.example"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("kind: ntfy", "kind: pigeon", 7, "no channel of kind 'pigeon'; expected one of"),
        ("to: nights", "colour: red", 11, "no setting 'colour'; expected some of"),
        ("https://ntfy.example", "ftp://ntfy.example", 11, "base_url"),
        ("10.20.0.0/16", "10.20.0.0/99", 11, "no network"),
        ('"${PAGER_KEY}"', KEY, 16, "the name of an environment variable"),
        ('"${PAGER_KEY}"', "123456789", 16, "the name of an environment variable"),
        ("{routing_key:", "{rooting_key:", 16, "no secret 'rooting_key'; expected one of routing_key"),
        ("team: ops", "team: ghost", 8, "no team 'ghost'"),
        ("slug: pager", "slug: email", 13, "taken by the tower itself"),
        ("min_severity: high", "min_severity: huge", 10, "expected one of"),
        ("listens: true", "listen: true", 9, "may have"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in FILE
    with pytest.raises(documents.ConfigError) as caught:
        load(FILE.replace(old, new))
    said = str(caught.value)
    assert f"x.yaml, line {line}: " in said
    assert words in said
    assert not any(secret in said for secret in (KEY, TOKEN, "123456789"))
    assert not Channel.objects.exists()


def test_a_kind_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    load(FILE)
    other: Any = FILE.replace("kind: pagerduty", "kind: opsgenie").replace("routing_key", "key")
    with pytest.raises(documents.ConfigError, match="is a channel of kind 'pagerduty'"):
        load(other)
