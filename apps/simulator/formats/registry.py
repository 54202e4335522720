"""All formats by the slug of the integration that speaks them."""

from __future__ import annotations

from collections.abc import Mapping

from apps.simulator.formats import carriers, logistics, platforms, records, shops
from apps.simulator.formats.model import Format

FORMATS: Mapping[str, Format] = {
    **platforms.FORMATS,
    **carriers.FORMATS,
    **shops.FORMATS,
    **logistics.FORMATS,
    **records.FORMATS,
}
