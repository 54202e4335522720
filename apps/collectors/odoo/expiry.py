"""Watches the end of the API key: a key that runs out is a source that falls silent, and Odoo's own users get keys of at
most 90 days. Two weeks before there is a finding, three days before a graver one; a new key clears them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.memory import Memory
from apps.collectors.odoo.rows import BadRow, Row
from apps.collectors.odoo.settings import OdooSettings
from apps.flows.canonical import key_of
from apps.incidents.models import Severity
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.integrations.models import Integration

#: before the end -> how grave it is
WARNINGS = ((timedelta(days=3), Severity.HIGH), (timedelta(days=14), Severity.NORMAL))
#: Odoo is asked so often
AGAIN = timedelta(hours=6)
MODEL = "res.users.apikeys"


@dataclass(frozen=True, slots=True)
class KeyEnd:
    """When the key ends and who says so. ends: None if nobody tells, or it never does."""

    ends: datetime | None
    told_by: str


def key_end(client: OdooClient, settings: OdooSettings, recorded: datetime | None) -> KeyEnd:
    """The earliest of what Odoo, the settings and the tower's own record of the credential say. Raises `OdooError` only
    when Odoo is away.

    recorded: end of the credential as stored in the tower. Of several keys Odoo does not tell which one is ours: without
    a name in the settings the next one to end counts.
    """
    found = [(end, "Odoo") for end in _told_by_odoo(client, settings)]
    if settings.key_expires_on:
        found.append((datetime.combine(settings.key_expires_on, time.max, UTC).replace(microsecond=0), "the settings"))
    if recorded:
        found.append((recorded, "the stored credential"))
    return KeyEnd(*min(found)) if found else KeyEnd(None, "")


def _told_by_odoo(client: OdooClient, settings: OdooSettings) -> list[datetime]:
    if not client.uid:
        return []
    try:
        fields = client.fields_of(MODEL, ("name", "expiration_date"))
        if "expiration_date" not in fields:
            return []  # 17 and earlier: keys have no end
        keys = client.search_read(MODEL, [["user_id", "=", client.uid]], list(fields), 100)
    except OdooError as error:
        if error.trouble not in (Trouble.RIGHTS, Trouble.MODEL, Trouble.REQUEST):
            raise
        return []
    ends: list[datetime] = []
    for key in keys:
        row = Row(key)
        try:
            end, name = row.time("expiration_date"), row.text("name")
        except BadRow:
            continue
        # a key that has ended already is not the one we were let in with
        if end and end > (client.server_time or end) and (not settings.key_name or name == settings.key_name):
            ends.append(end)
    return sorted(ends)[:1]


def watch(
    client: OdooClient, settings: OdooSettings, memory: Memory, known: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[[], None] | None]:
    """What to remember of the key's end (for the cursor), and what to write with it (None: nothing).

    known: what the cursor remembered. Asks Odoo now and then only.
    """
    now = memory.now
    checked = known.get("checked")
    if isinstance(checked, str) and datetime.fromisoformat(checked) + AGAIN > now:
        return dict(known), None
    found = key_end(client, settings, memory.credential_end())
    integration = memory.integration()
    drafts = list(_drafts(integration, found, now))
    raised = [str(draft.key) for draft in drafts]
    gone = [uuid.UUID(one) for one in known.get("raised") or () if one not in raised]
    state = {
        "ends": found.ends.isoformat() if found.ends else None,
        "told_by": found.told_by,
        "checked": now.isoformat(),
        "raised": raised,
    }

    def write() -> None:
        raise_findings(drafts, now)
        clear_findings(gone, f"The key of {integration.name} was renewed", now)

    return state, write if drafts or gone else None


def _drafts(integration: Integration, found: KeyEnd, now: datetime) -> list[FindingDraft]:
    """The finding for how near the end is, if it is near."""
    if found.ends is None:
        return []
    ends = found.ends
    severity = next((grave for before, grave in WARNINGS if ends - now <= before), None)
    if severity is None:
        return []
    slug = integration.slug
    day = f"{ends:%Y-%m-%d %H:%M} UTC"
    return [
        FindingDraft(
            key=key_of("credential.expiring", slug, ends.isoformat(), severity),
            kind="credential.expiring",
            cause=key_of("credential.expiring", slug),
            incident_title=f"The key of {integration.name} ends on {ends:%Y-%m-%d}",
            severity=severity,
            sentence=f"The API key {integration.name} is read with ends on {day} (told by {found.told_by}). Make a new key "
            "for the tower's user in Odoo and store it as the credential of this integration; both work meanwhile.",
            evidence={"ends": ends.isoformat(), "told_by": found.told_by},
            integration_id=integration.pk,
            partner_id=integration.partner_id,
            team_id=integration.team_id,
            due_at=ends,
        )
    ]
