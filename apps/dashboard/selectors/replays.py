"""Replays as pages show them: verdicts with their counts, messages of one verdict, what was reached."""

from __future__ import annotations

from dataclasses import dataclass

from apps.collectors.models import ReplayItem, ReplayRun
from apps.flows.models import Flow

PAGE = 50
RUNS = 50
#: flows named beside a message
FLOWS = 3
#: verdict -> (word of its state, what it means), in the order they are shown
VERDICTS = {
    "safe": ("done", "only adds what was missing"),
    "changes": ("at-risk", "something told before would say otherwise"),
    "superseded": ("met-late", "overtaken by newer news: nothing moves"),
    "applied": ("open", "all of it is known: nothing happens"),
    "fails": ("late", "cannot be read still"),
    "gone": ("unknown", "waits already, or its bytes are gone"),
}


@dataclass(frozen=True, slots=True)
class Tally:
    verdict: str
    label: str
    word: str
    meaning: str
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One message: its verdict, and the flows it is about as (id, label); more: how many are not listed."""

    item: ReplayItem
    word: str
    flows: list[tuple[int, str]]
    more: int


@dataclass(frozen=True, slots=True)
class RunPage:
    tallies: list[Tally]
    verdict: str
    items: list[Line]
    after: str
    percent: int
    step: str
    working: bool
    reached: list[tuple[str, int]]
    first: list[tuple[int, str, str]]
    moves: int


def run_page(run: ReplayRun, verdict: str, after: str) -> RunPage:
    chosen = verdict if verdict in VERDICTS else ""
    rows = ReplayItem.objects.filter(run=run).exclude(verdict="").order_by("receipt_id")
    if chosen:
        rows = rows.filter(verdict=chosen)
    if after.isascii() and after.isdecimal() and len(after) < 19:
        rows = rows.filter(receipt_id__gt=int(after))
    found = list(rows[: PAGE + 1])
    done, working = (run.tried, True) if run.state == "trying" else (run.done, run.state == "running")
    closed = run.closed
    return RunPage(
        tallies=[
            Tally(name, str(ReplayItem.Verdict(name).label), word, meaning, run.counts.get(name, 0))
            for name, (word, meaning) in VERDICTS.items()
        ],
        verdict=chosen,
        items=_lines(found[:PAGE]),
        after=str(found[PAGE - 1].receipt_id) if len(found) > PAGE else "",
        percent=100 * done // max(1, run.total),
        step="Trying" if run.state == "trying" else "Replaying",
        working=working,
        reached=[(name.replace("_", " "), n) for name, n in closed.get("names", {}).items()],
        first=[(flow, label, name.replace("_", " ")) for flow, label, name in closed.get("first", ())],
        moves=run.counts.get("safe", 0) + run.counts.get("changes", 0),
    )


def _lines(items: list[ReplayItem]) -> list[Line]:
    wanted = {pk for item in items for pk in item.flow_ids[:FLOWS]}
    labels = dict(Flow.objects.filter(pk__in=wanted).values_list("pk", "label")) if wanted else {}
    return [
        Line(
            item,
            VERDICTS[item.verdict][0],
            [(pk, labels[pk]) for pk in item.flow_ids[:FLOWS] if pk in labels],
            max(0, len(item.flow_ids) - FLOWS),
        )
        for item in items
    ]


def runs() -> list[ReplayRun]:
    return list(ReplayRun.objects.select_related("asked_by", "approved_by")[:RUNS])


def waiting() -> int:
    """How many wait for a second person."""
    return ReplayRun.objects.filter(state=ReplayRun.State.ASKED).count()
