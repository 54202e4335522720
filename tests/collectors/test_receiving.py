"""Receipts are kept byte for byte with their place on the work list, in one statement."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.models import Receipt, ReceiptState
from apps.collectors.receiving import REDACTED, NewReceipt, headers_json, store
from apps.collectors.soundness import clean
from apps.integrations.models import Integration
from tests.collectors.conftest import NOW


def receipt(integration_id: int, body: bytes, **changes: object) -> NewReceipt:
    values = {
        "integration_id": integration_id,
        "door": "http",
        "body": body,
        "content_type": "application/json",
        "headers": {},
        "delivery_id": "",
        "received_at": NOW,
    }
    return NewReceipt(**(values | changes))  # type: ignore[arg-type]


def test_bytes_digest_and_order_are_kept(integration: Integration) -> None:
    bodies = [b"", b"\x00\xff\xfe", b'{"a": 1, "a": 2}', bytes(range(256)) * 10]
    ids = store(
        [receipt(integration.pk, body, received_at=NOW + timedelta(days=40 * n)) for n, body in enumerate(bodies)]
    )
    assert ids == sorted(ids)
    kept = {row.pk: row for row in Receipt.objects.filter(pk__in=ids)}
    for receipt_id, body in zip(ids, bodies, strict=True):
        assert bytes(kept[receipt_id].body) == body
        assert bytes(kept[receipt_id].sha256) == hashlib.sha256(body).digest()
    states = ReceiptState.objects.filter(pk__in=ids)
    assert {(s.status, s.attempts, s.events) for s in states} == {("waiting", 0, 0)}
    assert all(s.next_at == s.received_at for s in states)


def test_receipt_and_work_list_come_in_one_statement(integration: Integration) -> None:
    ids = store([receipt(integration.pk, b"%d" % n) for n in range(300)])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT r.xmin::text), count(DISTINCT s.xmin::text), bool_and(r.cmin = s.cmin)"
            " FROM collectors_receipt r JOIN collectors_receiptstate s ON s.receipt_id = r.id WHERE r.id = ANY(%s)",
            [ids],
        )
        assert cursor.fetchone() == (300, 1, 1, True)


def test_no_delivery_no_statement(db: None) -> None:
    assert store([]) == []


def test_secrets_are_not_kept() -> None:
    text = headers_json(
        {
            "authorization": "Bearer hush",
            "cookie": "sessionid=hush",
            "x-api-key": "hush",
            "x-shop-access-token": "hush",
            "webhook-signature": "v1,abc=",
            "user-agent": "probe/1",
        }
    )
    assert "hush" not in text
    assert REDACTED in text
    assert "v1,abc=" in text
    assert "probe/1" in text


@pytest.mark.django_db
@pytest.mark.parametrize("nasty", ["a\0b", "\ud800", "é\0\udfff", "\\u0000"])
def test_texts_no_database_takes_are_made_visible(integration: Integration, nasty: str) -> None:
    [receipt_id] = store(
        [receipt(integration.pk, b"x", headers={nasty: nasty}, delivery_id=nasty, content_type=nasty, door=nasty[:3])]
    )
    kept = Receipt.objects.get(pk=receipt_id)
    assert kept.delivery_id == clean(nasty)
    assert kept.headers == {clean(nasty): clean(nasty)}


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF)))
def test_clean_gives_text_any_database_takes(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    cleaned.encode()
    assert clean(cleaned) == cleaned
