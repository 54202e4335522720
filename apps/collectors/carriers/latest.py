"""Platforms that tell the status of the parcel but not of its scans: it is the status of the latest one. Pure."""

from __future__ import annotations

from dataclasses import replace

from apps.collectors.carriers.model import Scan


def latest_first(scans: list[Scan], codes: tuple[str, ...]) -> list[Scan]:
    """The scans; the latest one, if it has no status of its own, is read by that of the parcel where its code is unknown.

    Its own code comes first, so that it is the same event once other scans came after it. A code with a colon is a
    carrier's own (`passed_on`).
    """
    if not scans or not any(codes):
        return scans
    newest = max(range(len(scans)), key=lambda number: (scans[number].at.at, -number))
    own = scans[newest].codes
    if all(":" in code for code in own):
        scans[newest] = replace(scans[newest], codes=(*own, *filter(None, codes)))
    return scans
