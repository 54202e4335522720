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
