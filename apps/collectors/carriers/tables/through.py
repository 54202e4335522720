"""Carriers' own codes as platforms pass them on (ShipEngine, Karrio): ``carrier:code``. Data only."""

from __future__ import annotations

from apps.collectors.carriers.model import Table
from apps.collectors.carriers.tables import dhl, fedex, ups

_UPS = {key.partition("/")[2]: meaning for key, meaning in ups.TABLE.items() if "/" in key}
_DHL = {**dhl.STATUSES, **dhl.CHECKPOINTS}

THROUGH: Table = {
    **{f"fedex:{code}": meaning for code, meaning in fedex.TABLE.items()},
    **{f"ups:{code}": meaning for code, meaning in _UPS.items()},
    **{f"dhl:{code}": meaning for code, meaning in _DHL.items()},
}

#: how platforms call these carriers
_FAMILIES = ("fedex", "ups", "dhl")


def passed_on(carrier: str, code: str) -> str:
    """The key of a carrier's own code: ``fedex:OD`` for a platform's fedex_ground; '' without a code."""
    name = carrier.strip().lower()
    family = next((one for one in _FAMILIES if name == one or name.startswith(f"{one}_")), name)
    return f"{family}:{code}" if code else ""
