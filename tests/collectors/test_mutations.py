"""Mutated messages of every wire format: one receipt each with the bytes as sent, no 5xx, bounded time and memory.

MUTATIONS=full takes 2,000 of each format (10,000 together), else 120; the same ones on every run.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db.models import Max

from apps.collectors import doors as at_the_door
from apps.collectors.authentication import Verdict
from apps.collectors.contract import COLLECTORS
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.otlp import requests as otlp
from apps.collectors.processing import process
from apps.core import clock
from apps.integrations.models import Integration, Mapping, Partner
from tests.collectors.samples import Sample, samples_of

pytestmark = pytest.mark.django_db

EACH = 2_000 if os.environ.get("MUTATIONS") == "full" else 120
BATCH = 30
#: processor seconds one input may take on average of its batch, through door and pipeline; really it takes a hundredth
SECONDS = 1.0
#: bytes the process may grow by over one format
GROWTH = 300 * 1024 * 1024

DOORS = sorted(kind for kind, collector in COLLECTORS.plugins.items() if collector.has_door)
_JSON = (".json", ".jsonl", ".jsonld", ".jsonocel")
_PIECES = {
    "JSON": [b"null", b"NaN", b"1e400", b'"', b"\\", b"\\ud800", b"\\u0000", b"[" * 70, b"{", b"}", b",", b"9" * 40, b'{"a":1,"a":2}'],
    "XML": [b"<", b">", b"&", b"&#0;", b"&x;", b"<![CDATA[", b"<!DOCTYPE a [", b"]]>", b"<a>" * 70, b'"', b"xmlns:x=", b"<?", b"-->"],
    "X12 and EDIFACT": [b"~", b"*", b">", b"'", b"+", b":", b"?", b"ISA", b"SE*1*1~", b"UNT+1+1'", b"\n", b"HL*1*1*S~", b"20269999"],
    "protobuf": [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x7f", b"\xff" * 10, b"\x09" + b"\xff" * 8, b"\x0b", b"\x00"],
    "CSV": [b";", b",", b'"', b"\n", b"\r", b"\t", b"TRL;", b"=1+1", b"\xef\xbb\xbf", b";" * 50, b'"\n"'],
}  # fmt: skip
_ANYWHERE = [b"\x00", b"\xff", b"-", b"9" * 40, b" ", "\N{DELIVERY TRUCK}".encode(), b"2026-02-30"]


@dataclass(frozen=True)
class Original:
    """A sound message of a format, as its sender sends it."""

    sample: Sample
    body: bytes
    content_type: str


def originals(form: str) -> list[Original]:
    found = []
    for sample in (one for kind in DOORS for one in samples_of(kind)):
        suffix = sample.path.suffix
        content_type = sample.delivery().content_type
        matches = {
            "JSON": suffix in _JSON,
            "XML": suffix in (".xml", ".xes", ".xmlocel"),
            "X12 and EDIFACT": sample.kind == "edi",
            "protobuf": sample.kind == "otlp" and sample.path.stem in ("hops", "logs"),
            "CSV": suffix == ".csv",
        }[form]
        if matches and form == "protobuf":
            wire = otlp.read_request(sample.path.read_bytes(), True).SerializeToString()
            found.append(Original(sample, wire, otlp.PROTOBUF))
        elif matches:
            found.append(Original(sample, sample.path.read_bytes(), content_type))
    return found


def mutated(body: bytes, pieces: list[bytes], rng: random.Random) -> bytes:
    """The message with a character changed, or with one to four pieces cut, doubled, moved or overwritten."""
    if rng.random() < 0.3:
        # the syntax stays sound, what it says does not
        at = rng.choice([place for place, one in enumerate(body) if chr(one).isalnum()] or [0])
        return body[:at] + rng.choice([b"0", b"9", b"x", b"Z", b""]) + body[at + 1 :]
    for _ in range(rng.choice([1, 1, 2, 4])):
        new = rng.choice(pieces + _ANYWHERE) if rng.random() < 0.8 else rng.randbytes(rng.randint(1, 8))
        body = _broken(body, new, rng)
    return body


def _broken(body: bytes, new: bytes, rng: random.Random) -> bytes:
    start = rng.randint(0, max(0, len(body) - 1))
    end = min(len(body), start + rng.choice([1, 4, 40, 400]))
    return rng.choice(
        [
            body[:start] + new + body[start:],
            body[:start] + new + body[start + len(new) :],
            body[:start] + body[end:],
            body[:end] + body[start:],
            body[:start] + bytes(one ^ 1 << rng.randint(0, 7) for one in body[start : start + 1]) + body[start + 1 :],
            body[start:] + body[:start] if rng.random() < 0.2 else body[:start] + body[start:end][::-1] + body[end:],
            body[:start] if rng.random() < 0.3 else body + body[start:],
        ]
    )


def inputs(form: str, count: int) -> Iterator[tuple[Original, bytes]]:
    rng = random.Random(f"mutations of {form}")
    chosen = originals(form)
    assert len(chosen) >= 2, f"tests/samples holds no {form} to mutate"
    for _ in range(count):
        original = rng.choice(chosen)
        yield original, mutated(original.body, _PIECES[form], rng)


def integrations(form: str) -> dict[str, Integration]:
    """One for each sample, with its settings and mapping."""
    partner = Partner.objects.create(slug="acme", name="Acme", kind="3pl")
    made = {}
    for number, original in enumerate(originals(form)):
        source = original.sample.source()
        mapping = Mapping.objects.create(slug=f"m{number}", spec=dict(source.mapping)) if source.mapping else None
        made[original.sample.name] = Integration.objects.create(
            slug=f"mutated-{number}",
            name=original.sample.name[:60],
            kind=original.sample.kind,
            partner=partner,
            settings=dict(source.settings),
            time_zone=source.zone,
            mapping=mapping,
        )
    return made


def send(integration: Integration, original: Original, body: bytes) -> int:
    headers = {name: value for name, value in original.sample.delivery().headers.items() if name != "content-type"}
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": original.content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    return at_the_door.answer(environ, integration.endpoint_id, "", clock.now()).status


def judge(first: int, bodies: list[bytes], seen: Counter[str]) -> None:
    """One receipt for each body, byte for byte, and each of them read or refused in words."""
    kept = list(Receipt.objects.filter(id__gt=first).order_by("id"))
    assert [bytes(receipt.body) for receipt in kept] == bodies
    assert all(bytes(receipt.sha256) == hashlib.sha256(bytes(receipt.body)).digest() for receipt in kept)
    states = {state.pk: state for state in ReceiptState.objects.filter(receipt_id__gt=first)}
    letters = list(DeadLetter.objects.filter(receipt_id__gt=first))
    told = Counter(letter.receipt_id for letter in letters)
    for receipt in kept:
        state = states[receipt.pk]
        assert state.status in ("done", "dead"), f"{receipt.pk} still {state.status}"
        assert told[receipt.pk] == state.issues
        assert state.status == "done" or told[receipt.pk]
        seen[state.status] += 1
        seen["events"] += state.events
    assert all(letter.code and len(letter.sentence) > 10 for letter in letters)
    assert not {letter.code for letter in letters} & {"storage.refused", "collector.crashed", "processing.killed"}
    seen["dead letters"] += len(letters)


@pytest.mark.parametrize("form", _PIECES)
def test_every_mutated_input_is_kept_and_answered(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in DOORS:
        monkeypatch.setattr(type(COLLECTORS.get(kind)), "authenticate", lambda *args: Verdict(True, ""))
    targets = integrations(form)
    answers: Counter[int] = Counter()
    seen: Counter[str] = Counter()
    slowest = 0.0
    grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    everything = list(inputs(form, EACH))
    for at in range(0, EACH, BATCH):
        part = everything[at : at + BATCH]
        first = Receipt.objects.aggregate(last=Max("id"))["last"] or 0
        started = time.process_time()
        for original, body in part:
            answers[send(targets[original.sample.name], original, body)] += 1
        while process(clock.now()).receipts:
            continue
        slowest = max(slowest, (time.process_time() - started) / len(part))
        judge(first, [body for _, body in part], seen)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from) * 1024
    assert sum(answers.values()) == EACH == seen["done"] + seen["dead"]
    # 400 is what OTLP's senders are told; the delivery is kept all the same
    assert set(answers) <= {200, 202, 400}, answers
    assert slowest < SECONDS
    assert grown < GROWTH
    assert seen["dead letters"], "nothing was broken: these are no mutations"
    took = time.process_time() - begin
    print(f"\n{form}: {EACH} inputs, answers {dict(answers)}, {dict(seen)}, {took:.1f} s, worst batch {slowest * 1000:.0f} ms"
          f" an input, grew {grown // 1024**2} MB")  # fmt: skip
