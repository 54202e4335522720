"""The anomaly pages in a real browser: seen, answered, taken back; the detectors' own record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from apps.anomalies.models import Anomaly, KnownSpan, MetricState
from tests.browser.conftest import Screen
from tests.dashboard.test_anomalies import FEED, FLOW, anomaly

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> Anomaly:
    now = datetime.now(UTC)
    hours = [(now - n * timedelta(hours=1)).replace(minute=0).isoformat() for n in range(24, -1, -1)]
    usual = [6.0] * 7 + [20.0, 38.0, 44.0, 46.0, 45.0, 44.0, 46.0, 42.0, 40.0, 38.0, 30.0, 22.0, 14.0] + [44.0] * 5
    came = [
        round(one * share)
        for one, share in zip(usual, [1.0, 0.9, 1.1, 1.2, 0.95] * 4 + [1.0, 0.1, 0, 0, 0], strict=True)
    ]
    seen = FEED | {
        "hours": hours,
        "expected": usual,
        "lower": [0.7 * one for one in usual],
        "upper": [1.35 * one for one in usual],
        "seen": came,
        "since": (now - timedelta(hours=3)).isoformat(),
    }
    common: dict[str, Any] = {"began_at": now - timedelta(hours=3), "raised_at": now - timedelta(hours=2)}
    first = anomaly(
        **common,
        evidence=seen,
        sentence="Acme events: expected 178 ± 24 (messages) between 07:20 and 11:10 Europe/Berlin, saw 4. "
        "That is 258,925 times as likely if something is wrong; it began about 07:20 (56 days of its own history).",
    )
    anomaly(
        1,
        **common,
        detector="deadline",
        tier="task",
        evidence=FLOW,
        score=1.8,
        title="SO-4711: slower than comparable flows to “Delivered”",
        sentence="98 of 100 comparable flows (FR>DE, carrier-x, n=412, 45 days) reached “Delivered” within 4 d; "
        "this one is at 5 d.",
    )
    for number in range(9):
        verdict = "not_useful" if number < 3 else "real"
        anomaly(number + 2, **common, cleared_at=now, verdict=verdict, verdict_at=now - timedelta(days=number))
    anomaly(20, **common, suppressed="budget", audited=True)
    for day in range(14):
        at = now - timedelta(days=day)
        state = {"n": 100 + day, "watch": 89 + day % 4 + day * 0.9, "task": 98 + day * 0.98}
        MetricState.objects.create(detector="coverage", key=f"{at:%Y-%m-%d}", at=at, state=state)
    KnownSpan.objects.create(
        kind="peak", factor=2.5, starts_at=now, ends_at=now + timedelta(days=3), name="Black Friday",
        author_name="Mara Lind", created_at=now,
    )  # fmt: skip
    return first


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "light"), ("desktop", "dark")])
def test_what_is_strange_is_seen_and_answered(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    first = fill()
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/anomalies/")
    expect(page.locator("#anomalies")).to_contain_text("258,925 times as likely")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("anomalies")
    page.locator(f"#anomaly-{first.pk} h2 a").click()
    page.wait_for_selector(".plot .main-svg")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("anomaly")
    page.get_by_role("button", name="Not useful").click()
    expect(page.locator(".answered")).to_contain_text("Not useful")
    assert Anomaly.objects.get(pk=first.pk).verdict == "not_useful"
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("button", name="Not useful")).to_be_visible()
    page = screen.open("/anomalies/health/")
    expect(page.locator("#detector-feed")).to_contain_text("times the evidence")
    page.wait_for_selector(".plot .main-svg")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("anomaly_health")


def drawn() -> list[tuple[str, Anomaly]]:
    """One of each kind with a picture of its own, as its detector leaves it."""
    now = datetime.now(UTC)
    monday = (now - timedelta(days=now.weekday() + 70)).date()
    weeks = [
        [(monday + timedelta(weeks=n)).isoformat(), 40 + n, 50.0 + n % 3, 66.0 + n % 2, 90.0 + n] for n in range(7)
    ] + [
        [(monday + timedelta(weeks=n)).isoformat(), 38, 70.0 + 4 * n, 92.0 + 3 * n, 130.0 + 5 * n] for n in range(7, 11)
    ]
    drift = {
        "weeks": weeks,
        "since": (now - timedelta(days=25)).isoformat(),
        "open": [[(now - timedelta(hours=n)).isoformat(timespec="minutes"), n] for n in range(60, 190, 9)],
    }
    usual = ["placed", "shipped", "delivered"]
    path = {
        "flows": 3120,
        "paths": [[usual, 2810], [[*usual, "invoiced"], 240], [["placed", "delivered", "invoiced"], 61]],
        "steps": ["placed", "delivered", "shipped"],
    }
    schema = {
        "fields": [
            ["lines[].weight", [[1.0, 0, "number"], [1.0, 0, "number"], *[[0, 0, ""]] * 12]],
            ["id", [[1.0, 0, "number"], *[[1.0, 0, "string"]] * 13]],
            ["delivery.window.requested.from", [[0, 0, ""], *[[1.0, 0.1, "string"]] * 9, None, *[[1.0, 0, "string"]] * 3]],
            ["note", [[1.0, 0.9, "string"], *[[1.0, 0.1, "string"]] * 13]],
        ],
        "changes": [["lines[].weight", "new", "number", 2], ["id", "other type", "number", 2],
                    ["delivery.window.requested.from", "gone", "", 2], ["note", "empty", "null", 2]],
        "until": now.isoformat(),
        "contract": "2.1",
        "marks": [[(now - timedelta(days=2)).isoformat(), "Release 2.1 of the shop"]],
    }  # fmt: skip
    made = []
    for number, (kind, evidence) in enumerate({"drift": drift, "path": path, "schema": schema}.items()):
        one = anomaly(
            40 + number, detector=kind, tier="task", evidence={"model": f"{kind}/1", **evidence}, title=f"A {kind}",
            sentence="FR>DE: +48 % to “Delivered” (median 2.8 d before, 4.1 d in the last 60 flows of carrier-x).",
            began_at=now, raised_at=now,
        )  # fmt: skip
        made.append((kind, one))
    anomaly(60, detector="drift", tier="task", suppressed="too small", began_at=now, raised_at=now, evidence=drift)
    return made


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_drift_path_and_schema_are_drawn(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    rows = drawn()
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    for kind, one in rows:
        page = screen.open(f"/anomalies/{one.pk}/")
        page.wait_for_selector(".plot .main-svg")
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        screen.picture(f"anomaly-{kind}")
    page = screen.open("/anomalies/health/")
    expect(page.locator("a[href*='tab=held'][href*='detector=drift']")).to_be_visible()
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("anomaly-health")
