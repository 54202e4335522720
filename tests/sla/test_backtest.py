"""What a draft of a rule would have done, counted again by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.flows.states import FlowState
from apps.sla import backtest
from tests.sla.builders import ASN_SPEC, HOUR, T0, book, flow_state, reached, rule_row

NOW = T0 + timedelta(days=20)
SENT = reached("sent", T0)


def cancelled(after: timedelta) -> FlowState:
    return flow_state(SENT, status="cancelled", closed_at=T0 + after)


def test_the_share_is_of_promises_that_were_kept_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow cancelled before its deadline, or one that stands still now, is unknown: not one that kept its promise."""
    held = {"pauses": [["hold", "On hold", (T0 + HOUR).isoformat(), None]]}
    flows = [
        flow_state(SENT, reached("asn", T0 + HOUR)),
        flow_state(SENT, reached("asn", T0 + 4 * HOUR)),  # at that very second
        flow_state(SENT, reached("asn", T0 + 9 * HOUR)),
        flow_state(SENT),
        flow_state(SENT, attributes=held),
        cancelled(after=HOUR),
        cancelled(after=9 * HOUR),
        flow_state(reached("sent", NOW - HOUR), opened_at=NOW - HOUR),
    ]
    monkeypatch.setattr(backtest, "_states", lambda *about, **more: iter(flows))
    draft = rule_row({**ASN_SPEC, "pause": ["hold"]}, slug="draft")
    found = backtest.run(book(), draft, NOW)
    assert (found.flows, found.measured) == (8, 8)
    assert len(found.fired) == 3  # nine hours late, never, cancelled long after it was due
    assert found.judged == 5
    assert found.share == pytest.approx(2 / 5)
