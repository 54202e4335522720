"""Learned deadlines on orders of a real marketplace, day by day, as if each day were today; and the hidden-event protocol.

Only what was known on a day is used on it: flows still open then are open, later deliveries do not exist. Deadlines are
refreshed daily and never drawn nearer, as the tower does it. A flow is *covered* when it ended before the deadline that
stood then. The protocol is described in docs/benchmark-missing-events.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from apps.anomalies.beginnings import facts
from apps.anomalies.detectors.deadline import LOST, PACE, TASK, WINDOW, aimed, fit, means_of

QUANTILES = (0.90, 0.95, 0.98, 0.99)
#: weekday of 1 January 1970
THURSDAY = 3
WARM_UP = 120
LEAST_IN_MONTH = 100
LEAST = 50
GONE_DAYS = 200
FIXED_DAYS = (21, 27, 31)
PROMISE_PLUS = (1, 7)
HIDDEN = 0.02


@dataclass(frozen=True, slots=True)
class Stage:
    """Flows of one stage; times in days, of local clocks. opened: when the order was placed; promised: the day the customer
    was told, when the order was placed."""

    name: str
    opened: np.ndarray
    start: np.ndarray
    end: np.ndarray
    promised: np.ndarray
    partner: np.ndarray
    lane: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """What is known of each flow when it begins."""
        weekday = (np.floor(self.start).astype(int) + THURSDAY) % 7
        return facts((self.promised + 1 - self.opened) * 24, weekday, self.start % 1 * 24)

    @property
    def month(self) -> np.ndarray:
        moments = pd.Timestamp(0) + pd.to_timedelta(self.start, unit="D")
        return np.asarray(moments.strftime("%Y-%m"))


@dataclass
class Judged:
    """What the deadlines did. has: flows that had one; at: quantile -> day each flow was called late (inf: never)."""

    has: np.ndarray
    at: dict[float, np.ndarray] = field(default_factory=dict)


def load(folder: Path) -> list[Stage]:
    """Delivered orders of all files at hand, at approval and at hand-over."""
    files = [pd.read_csv(path) for path in sorted(folder.glob("orders*.csv*"))]
    orders = pd.concat(files).drop_duplicates("order_id")
    times = ["order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date"]
    orders = orders[(orders.order_status == "delivered") & orders[times].notna().all(axis=1)]
    items, sellers, customers = (_read(folder, name) for name in ("order_items", "sellers", "customers"))
    if items is not None and sellers is not None:
        first = items.drop_duplicates("order_id").merge(sellers, on="seller_id")[["order_id", "seller_state"]]
        orders = orders.merge(first, how="left", on="order_id")
    if customers is not None:
        orders = orders.merge(customers[["customer_id", "customer_state"]], how="left", on="customer_id")
    partner = orders.get("seller_state", pd.Series("", orders.index)).fillna("").to_numpy(str)
    to = orders.get("customer_state", pd.Series("", orders.index)).fillna("").to_numpy(str)
    lane = np.where((partner != "") & (to != ""), np.char.add(np.char.add(partner, ">"), to), "")
    end, promised = _days(orders, times[2]), np.floor(_days(orders, "order_estimated_delivery_date"))
    opened = _days(orders, "order_purchase_timestamp")
    found = []
    for name, column in (("approval", times[0]), ("hand-over", times[1])):
        start = _days(orders, column)
        known = end > start
        found.append(Stage(name, opened[known], start[known], end[known], promised[known], partner[known], lane[known]))
    return found


def _read(folder: Path, name: str) -> pd.DataFrame | None:
    paths = sorted(folder.glob(f"{name}.csv*"))
    return pd.read_csv(paths[0]) if paths else None


def _days(orders: pd.DataFrame, column: str) -> np.ndarray:
    return ((pd.to_datetime(orders[column]) - pd.Timestamp(0)).dt.total_seconds() / 86_400).to_numpy()


def judge(stage: Stage, seen_end: np.ndarray) -> Judged:
    """Goes through the days. seen_end: when each end is seen (inf: its event is lost)."""
    start, window, n, about = stage.start, WINDOW.days, len(stage.start), stage.known
    judged = Judged(np.zeros(n, bool), {q: np.full(n, np.inf) for q in QUANTILES})
    due = {q: np.full(n, np.nan) for q in QUANTILES}
    aims: dict[str, float] = {}
    first = int(start.min()) + WARM_UP
    for day in range(first, int(stage.end.max()) + 60):
        came = np.flatnonzero(judged.has & (seen_end >= day - 1) & (seen_end < day))
        for q in QUANTILES:  # what ended yesterday, against the deadline it had
            missed = int((seen_end[came] - start[came] > due[q][came]).sum())
            aims[f"{q:.2f}"] = aimed(aims, q, len(came), missed, 1.0)
        entered = np.maximum(0.0, day - window - start)
        lost = entered > LOST * np.nan_to_num(due[TASK], nan=np.inf)
        known = np.flatnonzero((start < day) & (seen_end >= day - window) & ~lost)
        ended = seen_end[known] < day
        if ended.sum() < LEAST:  # as in the tower: no law of fewer
            continue
        hours = np.where(ended, seen_end[known] - start[known], day - start[known]) * 24
        partners, lanes = stage.partner[known].tolist(), stage.lane[known].tolist()
        recent = np.maximum(0.0, day - PACE.days - start[known]) * 24
        law = fit(hours, ended, partners, lanes, entered[known] * 24, about[known], recent)
        law.aims = aims
        judged.has |= (start >= day) & (start < day + 1)
        live = np.flatnonzero(judged.has & (seen_end > day) & (start < day + 1) & (day - start < GONE_DAYS))
        if not len(live):
            continue
        mean = means_of(law, stage.partner[live].tolist(), stage.lane[live].tolist()) + law.shift(about[live])
        for q in QUANTILES:
            limit = np.fmax(due[q][live], np.exp(mean + law.residual(q)) / 24)
            due[q][live] = limit
            late = (np.minimum(seen_end[live], day + 1) - start[live] > limit) & np.isinf(judged.at[q][live])
            at = judged.at[q]
            at[live[late]] = np.maximum(day, start[live] + limit)[late]
    return judged


def coverage(stage: Stage) -> dict[str, Any]:
    """quantile -> coverage overall and in the worst month of at least a hundred flows."""
    judged, month = judge(stage, stage.end), stage.month
    found: dict[str, Any] = {}
    for q in QUANTILES:
        covered = pd.Series(np.isinf(judged.at[q])[judged.has]).groupby(month[judged.has]).agg(["mean", "size"])
        months = covered[covered["size"] >= LEAST_IN_MONTH]["mean"]
        found[f"{q:.2f}"] = {
            "n": int(judged.has.sum()),
            "coverage": round(float(np.isinf(judged.at[q])[judged.has].mean()), 4),
            "worst_month": [str(months.idxmin()), round(float(months.min()), 4)],
        }
    return found


def hidden(stage: Stage, draws: int) -> list[dict[str, Any]]:
    """The protocol: 2 of 100 deliveries are lost; who is called late, rightly or not, and how soon. Means over draws."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for seed in range(draws):
        lost = np.random.default_rng(seed).random(len(stage.end)) < HIDDEN
        seen = np.where(lost, np.inf, stage.end)
        judged = judge(stage, seen)
        called = {f"learned {q:.2f}": judged.at[q] for q in QUANTILES}
        called |= {f"fixed {days} d": stage.start + days for days in FIXED_DAYS}
        called |= {f"promise + {days} d": stage.promised + 1 + days for days in PROMISE_PLUS}
        for name, at in called.items():
            late = (at < seen) & judged.has
            true, false = late & lost, late & ~lost
            delay = float(np.median((at - stage.end)[true])) if true.any() else np.nan
            healthy, gone = judged.has & ~lost, judged.has & lost
            row = false.sum() / healthy.sum(), true.sum() / max(1, late.sum()), true.sum() / max(1, gone.sum()), delay
            rows.setdefault(name, []).append(row)
    return [
        dict(zip(("false_alarms", "precision", "recall", "median_days"), np.nanmean(found, axis=0).round(4).tolist(), strict=True))
        | {"deadline": name}
        for name, found in rows.items()
    ]  # fmt: skip


def fit_many(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, Sequence[str], Sequence[str]]:
    """Made flows for the measurement of speed."""
    chance = np.random.default_rng(seed)
    hours = np.exp(chance.normal(3.5, 0.6, n))
    partner = [f"partner {one}" for one in chance.integers(0, 50, n)]
    return hours, chance.random(n) < 0.8, partner, [f"lane {one}" for one in chance.integers(0, 400, n)]
