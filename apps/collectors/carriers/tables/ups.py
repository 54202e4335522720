"""UPS: activity type, refined by a two-character status code. Source: UPS Track Alert and Tracking API references.

The type is documented in full; of the many codes those are here that say more than their type.
"""

from __future__ import annotations

from apps.collectors.carriers.tables import (
    ARRIVED,
    CAME_BACK,
    DELIVERED,
    DEPARTED,
    ETA,
    EXCEPTION,
    IN_TRANSIT,
    LABEL,
    NOTHING,
    OUT,
    PICKED_UP,
    VOIDED,
    table,
)

TABLE = table(
    (LABEL, "M M/MP"),
    (VOIDED, "MV MV/VP MV/VD"),
    (PICKED_UP, "P P/PU P/OR I/PU I/OR I/XD"),
    (DEPARTED, "I/DP"),
    (ARRIVED, "I/AR I/DS"),
    (IN_TRANSIT, "I I/IP I/IT"),
    (OUT, "O I/OT I/OF I/OD"),
    (DELIVERED, "D D/F4 D/FS D/KB D/KM D/9E"),
    (ETA, "U"),
    (EXCEPTION, "X"),
    (CAME_BACK, "RS"),
    (NOTHING, "NA W"),
)
