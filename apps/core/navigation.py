"""Where the pages are, as people look for them: what they watch, what they work, what they report, what they set up.

Pure data. A page is one line here; a line whose page is not installed, or that the reader may not open, is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ADMIN = frozenset({"admin"})


@dataclass(frozen=True, slots=True)
class Place:
    """label: as in the page's own heading; icon: of the sprite; url_name: without arguments; phone: its word on the phone's

    bottom bar (four have room there), empty for the others; roles: who sees it, empty for every member of staff.
    """

    label: str
    icon: str
    url_name: str
    phone: str = ""
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """Places under one word of the top bar; one place alone stands there by itself."""

    label: str
    places: Sequence[Place]


GROUPS: tuple[Group, ...] = (
    Group("Board", (Place("Board", "board", "dashboard:board", phone="Board"),)),
    Group("Incidents", (Place("Incidents", "incident", "dashboard:incidents", phone="Incidents"),)),
    Group("Flows", (Place("Flows", "flow", "dashboard:flows", phone="Flows"),)),
    Group(
        "Signals",
        (
            Place("Anomalies", "sun", "dashboard:anomalies"),
            Place("Causes", "link", "dashboard:causes"),
            Place("Reconciliation", "filter", "dashboard:reconciliations"),
            Place("Breach risk", "clock", "dashboard:risk"),
            Place("Dead letters", "dead", "dashboard:dead_letters"),
            Place("Replays", "replay", "dashboard:replays"),
        ),
    ),
    Group(
        "On call",
        (
            Place("On call", "user", "dashboard:on_call"),
            Place("Escalation", "bell", "dashboard:escalations"),
            Place("Maintenance", "bell-off", "dashboard:maintenance"),
        ),
    ),
    Group(
        "Reports",
        (
            Place("Month report", "report", "dashboard:report", phone="Report"),
            Place("Objectives", "check", "dashboard:objectives"),
            Place("Scorecards", "truck", "dashboard:scorecards"),
            Place("Archive", "box", "dashboard:report_archive"),
        ),
    ),
    Group(
        "Set up",
        (
            Place("Integrations", "plug", "dashboard:integrations"),
            Place("Rules", "clock", "dashboard:rules"),
            Place("Calendars", "clock", "dashboard:calendars"),
            Place("Contract terms", "report", "dashboard:contract_terms"),
            Place("Channels", "mail", "dashboard:channels"),
            Place("Admin", "settings", "admin:index", roles=ADMIN),
        ),
    ),
)
