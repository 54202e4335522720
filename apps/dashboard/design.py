"""The design system on one page: every state, tile, table, timeline, empty and error state, plot and form."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core import clock, wording
from apps.core.policies import policy

MEANINGS = {
    "on-time": "came in time, or is due later than the warning",
    "at-risk": "due soon, or likely to miss",
    "late": "due and not here",
    "unknown": "we cannot hear the source: not green",
    "met-late": "came, after it was due",
    "waived": "need not come; excluded with a reason",
    "done": "came in time and is closed",
    "open": "not started",
}
BOARD = [
    (
        "3PL North",
        [("on-time", 212), ("on-time", 205), ("on-time", 188), ("at-risk", 12), ("late", 3)],
        11200,
        "3 h",
        12,
    ),
    (
        "Carrier Meridian",
        [("on-time", 0), ("on-time", 88), ("at-risk", 9), ("on-time", 71), ("late", 0)],
        61300,
        "1 h",
        5,
    ),
    ("3PL Rhein", [("unknown", 44), ("unknown", 40), ("unknown", 12), ("unknown", 0), ("unknown", 0)], 0, "8 h", 29000),
]


class SampleForm(forms.Form):
    """What fields look like, right and wrong."""

    name = forms.CharField(
        label="Rule name",
        help_text="As it will be read in a sentence: 'ASN before arrival'.",
        widget=forms.TextInput(attrs={"class": "form-control"}),
    )
    milestone = forms.ChoiceField(
        label="Milestone",
        choices=[("shipped", "Ship confirmed"), ("scan", "First scan")],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    within = forms.IntegerField(
        label="Within (hours)", min_value=1, widget=forms.NumberInput(attrs={"class": "form-control"})
    )
    note = forms.CharField(
        label="Note", required=False, widget=forms.Textarea(attrs={"class": "form-control", "rows": 3})
    )


class SampleFilter(forms.Form):
    """A filter row."""

    partner = forms.ChoiceField(
        label="Partner",
        choices=[("", "All partners"), ("n", "3PL North")],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    q = forms.CharField(
        label="Reference",
        widget=forms.TextInput(attrs={"class": "form-control", "type": "search", "placeholder": "Reference"}),
    )


def _series(base: float, reach: float, count: int, phase: float = 0.0) -> list[float]:
    return [round(base + reach * math.sin(i / 3 + phase), 1) for i in range(count)]


def _plots(now: datetime) -> dict[str, Any]:
    hours = [(now - timedelta(hours=23 - i)).isoformat() for i in range(24)]
    low, high = _series(18, 6, 24), _series(42, 8, 24)
    actual = [*_series(30, 7, 21), 9, 4, 1]
    feed = {
        "data": [
            {"x": hours, "y": low, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"},
            {
                "x": hours,
                "y": high,
                "mode": "lines",
                "line": {"width": 0},
                "fill": "tonexty",
                "fillcolor": "@band",
                "name": "usual",
            },
            {"x": hours, "y": actual, "mode": "lines", "line": {"color": "@ink-2", "width": 2}, "name": "messages"},
            {
                "x": hours[-3:],
                "y": actual[-3:],
                "mode": "markers",
                "marker": {"color": "@late", "size": 7, "symbol": "square"},
                "name": "below",
            },
        ],
        "layout": {
            "xaxis": {"showgrid": False},
            "yaxis": {"rangemode": "tozero", "title": {"text": "messages an hour"}},
            "annotations": [
                {
                    "x": hours[-1],
                    "y": 1,
                    "text": "1, usually 18 to 42",
                    "showarrow": False,
                    "xanchor": "right",
                    "xshift": -14,
                    "yshift": 0,
                    "font": {"color": "@late"},
                }
            ],
        },
    }
    days = [f"{day} Nov" for day in range(1, 15)]
    kept = {
        "data": [
            {"type": "bar", "x": days, "y": _series(96, 3, 14), "marker": {"color": "@on-time"}, "name": "kept %"},
            {
                "x": days,
                "y": [98] * 14,
                "mode": "lines",
                "line": {"color": "@ink-2", "width": 1, "dash": "dot"},
                "name": "target",
            },
        ],
        "layout": {"yaxis": {"range": [85, 100], "ticksuffix": " %"}, "xaxis": {"showgrid": False}},
    }
    return {"feed_plot": feed, "kept_plot": kept}


def _tracks(now: datetime) -> dict[str, Any]:
    start, end = now - timedelta(hours=9), now + timedelta(hours=6)

    def row(
        name: str, state: str, planned: float, actual: float | None = None, estimated: float | None = None
    ) -> dict[str, Any]:
        def at(hours: float | None) -> datetime | None:
            return None if hours is None else now + timedelta(hours=hours)

        return {"name": name, "state": state, "planned": at(planned), "actual": at(actual), "estimated": at(estimated)}

    rows = [
        row("released", "done", -8, -8.2),
        row("picked", "done", -5, -5.4),
        row("label", "met-late", -4, -2.5),
        row("first scan", "late", -3, None, 1.5),
        row("delivered", "at-risk", 5, None, 4.5),
    ]
    return {"track_start": start, "track_end": end, "track_rows": rows}


def _entries(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "at": now - timedelta(minutes=4),
            "who": "Mara Lindqvist",
            "what": "acknowledged, back at 14:00",
            "icon": "check",
        },
        {
            "at": now - timedelta(minutes=9),
            "who": "Mara Lindqvist",
            "what": "commented",
            "icon": "comment",
            "said": "Meridian's dispatcher says the scanner gateway in Kassel is down.\nThey expect scans from 13:30.",
        },
        {"at": now - timedelta(minutes=31), "what": "E-mail sent to on-call (ops@tower.example)", "icon": "mail"},
        {
            "at": now - timedelta(minutes=32),
            "what": "214 first scans are late: none since 07:20",
            "state": "late",
            "href": "#timeline",
        },
    ]


@policy("staff")
def design(request: HttpRequest) -> HttpResponse:
    """Everything the pages are made of, with invented data."""
    now = clock.now()
    wrong = SampleForm({"name": "", "milestone": "scan", "within": "0", "note": ""})
    wrong.is_valid()
    context = {
        "now": now,
        "states": [(state.slug, state.word, MEANINGS[state.slug]) for state in wording.STATES],
        "board": [
            {
                "partner": name,
                "cells": cells,
                "money": money,
                "oldest": oldest,
                "heard": now - timedelta(seconds=heard),
                "spark": _series(30, 12, 24, index) if index < 2 else [*_series(30, 12, 16), *[None] * 6, 2, 1],
            }
            for index, (name, cells, money, oldest, heard) in enumerate(BOARD)
        ],
        "soon": now + timedelta(minutes=42),
        "past": now - timedelta(hours=3, minutes=4),
        "entries": _entries(now),
        "form": SampleForm(initial={"name": "ASN before arrival", "within": 24}),
        "wrong": wrong,
        "filter_form": SampleFilter(),
        "saved": [
            {"label": "All open", "href": "?", "current": True, "count": 1204},
            {"label": "Late", "href": "?state=late", "current": False, "count": 14},
            {"label": "Mine", "href": "?mine=1", "current": False, "count": 0},
        ],
        **_tracks(now),
        **_plots(now),
    }
    return render(request, "design/design.html", context)
