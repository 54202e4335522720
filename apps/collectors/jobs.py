"""How a delivery that its protocol calls a job stands: what a sender may ask for afterwards. Reads only.

A job is a receipt of the asking integration; its number is the receipt's.
"""

from __future__ import annotations

from apps.collectors.contract import Job
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.flows.canonical import ParseIssue

MOST_ERRORS = 100


def find(integration_id: int, number: int) -> Job | None:
    """None for a receipt that is another's, or nobody's. Raises `django.db.Error` when the database is away."""
    if number >= 2**63:
        return None
    state = ReceiptState.objects.filter(pk=number, integration_id=integration_id).first()
    if state is None:
        return None
    receipt = Receipt.objects.filter(pk=number, received_at=state.received_at).only("headers").first()
    letters = DeadLetter.objects.filter(receipt_id=number, integration_id=integration_id, severity="error")
    waits = state.status == ReceiptState.Status.WAITING
    found = [] if waits else list(letters.exclude(state=DeadLetter.State.REPLAYED).order_by("id")[:MOST_ERRORS])
    errors = tuple(ParseIssue(one.code, one.sentence, one.position, one.fragment) for one in found)
    finished_at = None if waits else state.done_at or state.received_at
    headers = receipt.headers if receipt is not None else {}
    return Job(number, state.received_at, finished_at, not errors and state.status != "dead", headers, errors)
