"""What may follow what in an incident: the one table. No database, no clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from apps.incidents.models import Incident, IncidentEvent

State = Incident.State
Kind = IncidentEvent.Kind


class Verb(enum.StrEnum):
    """What people and the tower do to an incident. People's verbs are buttons and API calls."""

    OPEN = "open"
    JOIN = "join"
    WORSEN = "worsen"
    RECUR = "recur"
    CLEAR = "clear"
    CLOSE = "close"
    WAKE = "wake"
    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    ASSIGN = "assign"
    COMMENT = "comment"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    RATE = "rate"
    LABEL = "label"
    ESCALATE_NOW = "escalate-now"
    RELATE = "relate"
    UNRELATE = "unrelate"
    ASK = "ask"
    MERGE = "merge"
    UNMERGE = "unmerge"
    SPLIT = "split"
    ABSORB = "absorb"
    RETURN = "return"
    MENTION = "mention"
    ESCALATE = "escalate"
    REMIND = "remind"
    LAPSE = "lapse"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table.

    kind: of the timeline row it writes; moves: state before -> state after; past: the verb as a finished deed.
    by_tower: done by the tower, never by a person. notify: the timeline row must be sent to somebody.
    needed_while: the message is dropped once the incident is in another state. pages: asks somebody to act, so that
    the end of the incident is told to whoever got it.
    """

    kind: IncidentEvent.Kind
    moves: Mapping[Incident.State, Incident.State]
    past: str
    by_tower: bool = False
    notify: bool = False
    needed_while: frozenset[Incident.State] = frozenset()
    pages: bool = False


ALL = tuple(State)
UNRESOLVED = tuple(state for state in State if state != State.RESOLVED)


def _to(after: Incident.State, *before: Incident.State) -> Mapping[Incident.State, Incident.State]:
    return MappingProxyType(dict.fromkeys(before, after))


def _stay(*states: Incident.State) -> Mapping[Incident.State, Incident.State]:
    return MappingProxyType({state: state for state in states})


_WHILE_OPEN = frozenset({State.OPEN})
_WHILE_UNRESOLVED = frozenset(UNRESOLVED)

TABLE: Mapping[Verb, Transition] = MappingProxyType(
    {
        # the tower's own
        Verb.OPEN: Transition(Kind.OPENED, {}, "opened", True, True, _WHILE_OPEN, pages=True),
        Verb.JOIN: Transition(Kind.JOINED, _stay(*UNRESOLVED), "joined", True),
        # worse than what was snoozed: the snooze no longer holds; who acknowledged is told, nobody else is woken
        Verb.WORSEN: Transition(
            Kind.SEVERITY,
            {State.OPEN: State.OPEN, State.ACKNOWLEDGED: State.ACKNOWLEDGED, State.SNOOZED: State.OPEN},
            "worsened",
            True,
            True,
            frozenset({State.OPEN, State.ACKNOWLEDGED}),
            pages=True,
        ),
        Verb.RECUR: Transition(
            Kind.REOPENED, _to(State.OPEN, State.RESOLVED), "reopened", True, True, _WHILE_OPEN, pages=True
        ),
        Verb.CLEAR: Transition(Kind.CLEARED, _stay(*ALL), "cleared", True),
        Verb.CLOSE: Transition(
            Kind.RESOLVED, _to(State.RESOLVED, *UNRESOLVED), "resolved", True, True, frozenset({State.RESOLVED})
        ),
        Verb.WAKE: Transition(Kind.WOKEN, _to(State.OPEN, State.SNOOZED), "woken", True, True, _WHILE_OPEN, pages=True),
        # people's; an acknowledgment is passed on to alerting tools and told to nobody (notifications.passing_on)
        Verb.ACKNOWLEDGE: Transition(
            Kind.ACKNOWLEDGED,
            _to(State.ACKNOWLEDGED, State.OPEN, State.SNOOZED),
            "acknowledged",
            notify=True,
            needed_while=frozenset({State.ACKNOWLEDGED}),
        ),
        Verb.UNACKNOWLEDGE: Transition(
            Kind.UNACKNOWLEDGED,
            _to(State.OPEN, State.ACKNOWLEDGED),
            "released",
            notify=True,
            needed_while=_WHILE_OPEN,
            pages=True,
        ),
        Verb.ASSIGN: Transition(
            Kind.ASSIGNED, _stay(*UNRESOLVED), "assigned", notify=True, needed_while=_WHILE_UNRESOLVED, pages=True
        ),
        Verb.COMMENT: Transition(Kind.COMMENTED, _stay(*ALL), "commented on"),
        Verb.SNOOZE: Transition(Kind.SNOOZED, _to(State.SNOOZED, State.OPEN, State.ACKNOWLEDGED), "snoozed"),
        Verb.RESOLVE: Transition(
            Kind.RESOLVED,
            _to(State.RESOLVED, *UNRESOLVED),
            "resolved",
            notify=True,
            needed_while=frozenset({State.RESOLVED}),
        ),
        Verb.REOPEN: Transition(
            Kind.REOPENED,
            _to(State.OPEN, State.RESOLVED),
            "reopened",
            notify=True,
            needed_while=_WHILE_OPEN,
            pages=True,
        ),
        # sent only when it was made worse (workflow.rate)
        Verb.RATE: Transition(
            Kind.RATED,
            _stay(*UNRESOLVED),
            "rated",
            notify=True,
            needed_while=frozenset({State.OPEN, State.ACKNOWLEDGED}),
            pages=True,
        ),
        # the next step of its policy at once (notifications.escalation_by_hand): who had it has it no more
        Verb.ESCALATE_NOW: Transition(
            Kind.ESCALATED, _to(State.OPEN, *UNRESOLVED), "escalated", notify=True, needed_while=_WHILE_OPEN, pages=True
        ),
        Verb.RELATE: Transition(Kind.RELATED, _stay(*ALL), "related"),
        Verb.UNRELATE: Transition(Kind.UNRELATED, _stay(*ALL), "took the relation from"),
        Verb.LABEL: Transition(Kind.LABELLED, _stay(*ALL), "labelled"),
        Verb.ASK: Transition(Kind.ASKED, _stay(*ALL), "asked the partner about"),
        # both are passed on to alerting tools and told to nobody: the alert outside ends, and is there again
        Verb.MERGE: Transition(
            Kind.MERGED,
            _to(State.RESOLVED, *UNRESOLVED),
            "merged",
            notify=True,
            needed_while=frozenset({State.RESOLVED}),
        ),
        # whoever takes it out again has it: nobody is called
        Verb.UNMERGE: Transition(
            Kind.UNMERGED,
            _to(State.ACKNOWLEDGED, State.RESOLVED),
            "took out",
            notify=True,
            needed_while=frozenset({State.ACKNOWLEDGED}),
        ),
        Verb.SPLIT: Transition(Kind.SPLIT, _stay(*ALL), "split"),
        # what follows from people's verbs and from findings, in the same transaction
        Verb.ABSORB: Transition(Kind.ABSORBED, _stay(*UNRESOLVED), "enlarged", True),
        # a breach that somebody has acknowledged is theirs still: it comes back, and calls nobody (raising.known)
        Verb.RETURN: Transition(Kind.RETURNED, _to(State.ACKNOWLEDGED, State.RESOLVED), "reopened", True),
        Verb.MENTION: Transition(Kind.MENTIONED, _stay(*ALL), "mentioned", True, True, frozenset(ALL)),
        # the clock's (notifications.escalation): data["targets"] of the row says who is called
        Verb.ESCALATE: Transition(Kind.ESCALATED, _stay(State.OPEN), "escalated", True, True, _WHILE_OPEN, pages=True),
        Verb.REMIND: Transition(
            Kind.REMINDED, _stay(State.ACKNOWLEDGED), "reminded", True, True, frozenset({State.ACKNOWLEDGED})
        ),
        Verb.LAPSE: Transition(Kind.LAPSED, _to(State.OPEN, State.ACKNOWLEDGED), "lapsed", True),
        # a maintenance window or a mute covers it: kept, and calls nobody until that ends
        Verb.MUTE: Transition(Kind.MUTED, _stay(*UNRESOLVED), "muted", True),
        Verb.UNMUTE: Transition(Kind.UNMUTED, _stay(*UNRESOLVED), "unmuted", True),
    }
)

#: kinds of timeline rows that ask somebody to act
PAGE_KINDS = frozenset(step.kind for step in TABLE.values() if step.pages)
#: kind of timeline row -> states of the incident in which its message still matters
NEEDED_WHILE: Mapping[IncidentEvent.Kind, frozenset[Incident.State]] = MappingProxyType(
    {step.kind: step.needed_while for step in TABLE.values() if step.notify}
)


def possible(state: str) -> list[Verb]:
    """The verbs a person may use on an incident in this state, in the order of the table."""
    return [verb for verb, step in TABLE.items() if not step.by_tower and state in step.moves]


def ways_into(state: str) -> dict[IncidentEvent.Kind, str]:
    """The timeline rows that say an incident came into this state -> the deed in words."""
    return {
        step.kind: step.past
        for verb, step in TABLE.items()
        if any(after == state != before for before, after in step.moves.items())
        or (verb is Verb.OPEN and state == State.OPEN)
    }
