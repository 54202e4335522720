"""AS2 receipts: every shape a gateway keeps them in tells the same, and nothing else is taken for one."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.contract import RawDelivery, SourceContext
from apps.collectors.edi import mdn
from apps.collectors.edi.sent import transmission
from apps.collectors.kinds.as2_mdn import As2MdnCollector, As2MdnForm
from apps.flows.canonical import ParseFailure, ParseResult

SAMPLES = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "samples" / "as2_mdn").glob("*.mdn"))]
RECEIVED = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FIELDS = (
    "Reporting-UA: Gangway\r\nOriginal-Message-ID: <1@ours.example>\r\nDisposition: a/MDN-sent-automatically; %s\r\n"
)
REPORT = (
    "AS2-From: THEIRS\r\nAS2-To: OURS\r\nMessage-ID: <9@theirs.example>\r\nDate: Tue, 10 Mar 2026 10:00:00 +0100\r\n"
    'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain\r\n\r\nfine\r\n"
    "--b\r\nContent-Type: message/disposition-notification\r\n\r\n" + FIELDS + "\r\n--b--\r\n"
)


def parse(
    body: str | bytes, content_type: str = "", headers: dict[str, str] | None = None, **given: str
) -> ParseResult:
    raw = body.encode() if isinstance(body, str) else body
    source = SourceContext("mdns", "nordwind", "Europe/Berlin", given)
    return As2MdnCollector().parse(RawDelivery(raw, content_type, headers or {}, RECEIVED), source)


def result_of(body: bytes) -> ParseResult:
    try:
        return parse(body)
    except ParseFailure as failure:
        return ParseResult((), (failure.issue,))


def told(result: ParseResult) -> tuple[str, str, str]:
    [event] = result.events
    [reference] = event.references
    return event.type, reference.value, reference.issuer


@pytest.mark.parametrize(
    ("disposition", "type"),
    [
        ("processed", "message.acknowledged"),
        ("Processed", "message.acknowledged"),
        ("processed/warning: duplicate-document", "message.acknowledged"),
        ("processed/Error: decryption-failed", "message.rejected"),
        ("processed/error:integrity-check-failed", "message.rejected"),
        ("failed/Failure: unsupported MIC-algorithms", "message.rejected"),
    ],
)
def test_dispositions(disposition: str, type: str) -> None:
    result = parse(REPORT % disposition)
    assert told(result) == (type, "1@ours.example", "nordwind")
    assert not result.issues
    assert result.events[0].happened_at == datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("disposition", ["displayed", "processed/expanded", "dispatched", "ok", "; ;", ""])
def test_a_disposition_that_is_not_known_is_named_and_gives_no_event(disposition: str) -> None:
    result = parse(REPORT % disposition)
    assert not result.events
    [issue] = result.issues
    assert (issue.code, issue.severity) == ("mdn.unknown_disposition", "warning")
    assert disposition in issue.sentence


def test_the_shapes_gateways_keep_it_in() -> None:
    whole = REPORT % "processed"
    head, body = whole.split("\r\n\r\n", 1)
    content_type = 'multipart/report; report-type=disposition-notification; boundary="b"'
    names = {"as2-from": "THEIRS", "as2-to": "OURS", "date": "Tue, 10 Mar 2026 10:00:00 +0100"}
    encoded = base64.b64encode((FIELDS % "processed").encode()).decode()
    shapes = [
        parse(whole),
        parse(whole.replace("\r\n", "\n")),
        parse("\r\n" + whole),
        parse("HTTP/1.1 200 OK\r\n" + whole),
        parse(body, content_type, names),
        parse(body, "application/octet-stream", names),
        parse(whole.replace(FIELDS % "processed", "Content-Transfer-Encoding: base64\r\n\r\n" + encoded + "\r\n")),
        parse(FIELDS % "processed" + "Date: Tue, 10 Mar 2026 10:00:00 +0100\r\n"),
    ]
    assert {told(one) for one in shapes} == {("message.acknowledged", "1@ours.example", "nordwind")}
    assert {one.events[0].happened_at for one in shapes} == {datetime(2026, 3, 10, 9, 0, tzinfo=UTC)}
    assert head


def test_whose_transmission_it_is() -> None:
    text = REPORT % "processed"
    assert told(parse(text, partners="THEIRS = acme"))[2] == "acme"
    assert told(parse(text, default_partner="other"))[2] == "other"
    # a copy of a receipt we sent is about what the partner sent us
    assert told(parse(text, own_ids="THEIRS", partners="OURS = acme"))[1:] == ("received 1@ours.example", "acme")


def test_the_same_receipt_is_one_event_and_another_is_another() -> None:
    text = REPORT % "processed"
    ids = {parse(one).events[0].source_event_id for one in (text, text.replace("\r\n", "\n"))}
    assert len(ids) == 1
    assert parse(text.replace("<9@", "<10@")).events[0].source_event_id not in ids


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "mdn.empty"),
        (b"\r\n \r\n", "mdn.empty"),
        (b"Subject: hello\r\n\r\nthank you", "mdn.no_report"),
        (b"--b\r\nContent-Type: text/plain\r\n\r\nfine\r\n--b--", "mdn.no_report"),
        ((REPORT % "processed").replace("Original-Message-ID: <1@ours.example>\r\n", "").encode(), "mdn.no_original"),
        (b"x" * (mdn.MAX_BYTES + 1), "mdn.too_large"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" * 200, "mdn.too_many_parts"),
    ],
)
def test_what_is_no_receipt(body: bytes, code: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        parse(body)
    assert caught.value.issue.code == code


def test_a_receipt_without_a_date_is_dated_by_its_arrival_and_says_so() -> None:
    result = parse((REPORT % "processed").replace("Date: Tue, 10 Mar 2026", "Date: some day"))
    assert result.events[0].happened_at == RECEIVED
    assert [issue.code for issue in result.issues] == ["mdn.no_time"]


def test_ids_are_written_one_way() -> None:
    assert transmission(" <1@ours.example> ") == transmission("1@ours.example") == "1@ours.example"


def test_form() -> None:
    assert As2MdnForm({}).is_valid()
    assert set(As2MdnForm({"partners": "acme", "default_partner": "a b"}).errors) == {"partners", "default_partner"}


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=200, deadline=None)
def test_no_byte_breaks_it(body: bytes, data: st.DataObject) -> None:
    raw = bytearray(body)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=8))
    result = result_of(bytes(raw))
    assert len(result.events) <= 1
    assert result.events or result.issues
    assert all(issue.code.startswith("mdn.") for issue in result.issues)


def test_hostile_shapes_stay_quick() -> None:
    shapes = [
        b"a: b\r\n" * 40_000,
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 30_000,
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" * 10 + b"x\r\n" * 60_000,
        b"Content-Type: text/plain;" + b" a=b;" * 50_000 + b"\r\n\r\n",
        b"Disposition:" + b" /" * 100_000 + b"\r\nOriginal-Message-ID: <1>\r\n\r\n",
        b"--" + b"b" * 200_000,
    ]
    for body in shapes:
        began = time.process_time()
        result_of(body)
        assert time.process_time() - began < 5, body[:40]
