"""What every bench shares: a PostgreSQL cluster of its own with the settings of production, interleaved rounds, ratios.

Method: ../docs/benchmarks.md. Absolute figures move by a factor of two with what else the machine does; ratios of
interleaved rounds do not. A run during which other processes took more than a tenth of the processor, or the disk's
fdatasync moved more than twofold, is *unstable*: it neither passes nor fails.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from controltower import embedded

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
FOREIGN_SHARE = 0.10
PROBE_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One bound. better: 'more' (measured >= goal) or 'less' (measured <= goal)."""

    name: str
    measured: float
    goal: float
    better: str = "more"

    @property
    def met(self) -> bool:
        return self.measured >= self.goal if self.better == "more" else self.measured <= self.goal

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "measured": round(self.measured, 4), "goal": self.goal, "met": self.met}


@dataclass(slots=True)
class Result:
    """What a bench found. notes: figures worth keeping beside the goals."""

    name: str
    goals: list[Goal] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    stable: bool = True
    why_unstable: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "stable": self.stable,
            "goals": [goal.as_json() for goal in self.goals],
            "why_unstable": self.why_unstable,
            "notes": self.notes,
        }

    @property
    def exit_code(self) -> int:
        """0 all met, 1 missed, 2 unstable machine."""
        if not self.stable:
            return 2
        return 0 if all(goal.met for goal in self.goals) else 1


def fdatasync_ms(path: Path, count: int = 40) -> float:
    """Median of writing and syncing 8 kB, in milliseconds."""
    took = []
    with open(path / "probe", "wb", buffering=0) as file:
        for _ in range(count):
            begin = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)


def tree_cpu(pids: Sequence[int]) -> float:
    """Processor seconds used so far by these processes and all below them."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    # what ended below it is in its parent's account
                    total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(slots=True)
class Bench:
    """A running bench: its scratch folder, its database server and what it watches."""

    folder: Path
    cluster: embedded.Cluster
    watched: list[int] = field(default_factory=list)

    def url(self, user: str = "controltower_app") -> str:
        return self.cluster.url(user, "bench")


@contextmanager
def database(result: Result) -> Iterator[Bench]:
    """A fresh cluster with fsync on, migrated, with Django connected to it as the owner; watches for noise."""
    folder = Path(tempfile.mkdtemp(prefix="controltower-bench-", dir="/var/tmp"))
    server = embedded.start(folder / "pg", extra="shared_buffers = 1GB\nmax_connections = 200\n")
    bench = Bench(folder, server)
    before = _busy(), tree_cpu([os.getpid(), bench.cluster.pid]), time.monotonic(), fdatasync_ms(folder)
    try:
        _connect(bench)
        yield bench
        _judge_noise(result, bench, before)
    finally:
        connection.close()
        embedded.stop(folder / "pg")
        shutil.rmtree(folder, ignore_errors=True)


def _connect(bench: Bench) -> None:
    connection.close()
    connection.settings_dict.update(
        {
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": str(bench.cluster.socket_dir),
            "PASSWORD": "",
            "PORT": str(embedded.PORT),
        }
    )
    options = dict(connection.settings_dict.get("OPTIONS") or {})
    options.pop("pool", None)
    options.pop("assume_role", None)
    connection.settings_dict["OPTIONS"] = options
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
    connection.close()
    connection.settings_dict["NAME"] = "bench"
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE controltower_app LOGIN")


def _busy() -> float:
    """Processor seconds all processes of the machine used so far."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def _judge_noise(result: Result, bench: Bench, before: tuple[float, float, float, float]) -> None:
    busy, own, at, probe = before
    wall = time.monotonic() - at
    ours = tree_cpu([os.getpid(), bench.cluster.pid, *bench.watched]) - own
    foreign = max(0.0, (_busy() - busy) - ours) / (wall * (os.cpu_count() or 1))
    probe_after = fdatasync_ms(bench.folder)
    result.notes |= {
        "foreign_cpu_share": round(foreign, 3),
        "fdatasync_ms_before_after": [round(probe, 3), round(probe_after, 3)],
        "seconds": round(wall, 1),
        "load": [round(one, 2) for one in os.getloadavg()],
    }
    if foreign > FOREIGN_SHARE:
        result.why_unstable.append(f"other processes used {foreign:.0%} of the processor")
    if max(probe, probe_after) > PROBE_FACTOR * max(min(probe, probe_after), 0.05):
        result.why_unstable.append("the disk's fdatasync moved more than twofold during the run")
    result.stable = not result.why_unstable


def interleaved(rounds: int, targets: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Runs every target once a round, in turn; each returns its figure (units a second, or seconds)."""
    found: dict[str, list[float]] = {name: [] for name in targets}
    order = list(targets)
    for number in range(rounds):
        for name in order if number % 2 == 0 else reversed(order):
            found[name].append(targets[name]())
    return found


def ratio(found: dict[str, list[float]], name: str, limit: str) -> float:
    """Median of the per-round ratios."""
    return statistics.median(a / b for a, b in zip(found[name], found[limit], strict=True))


def spread(figures: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(figures), 2),
        "median": round(statistics.median(figures), 2),
        "max": round(max(figures), 2),
    }


def scale_of(options: dict[str, Any], small: int, full: int) -> int:
    """Rows or events to use: --scale full or the small default."""
    return full if options.get("scale") == "full" else small


__all__ = [
    "Bench",
    "Goal",
    "Result",
    "database",
    "fdatasync_ms",
    "interleaved",
    "ratio",
    "scale_of",
    "settings",
    "spread",
]
