"""The doors: sizes at their limits, lengths that lie, bodies that break off, compression."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from typing import Any

import pytest
from django.test import override_settings

from apps.collectors import doors
from apps.collectors.authentication import Verdict
from apps.collectors.models import Receipt
from apps.collectors.processing import process
from apps.core import clock
from apps.integrations.models import Integration
from tests.collectors.conftest import Probe
from tests.collectors.knocking import BODY, post, say

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("extra", "status"), [(-1, 202), (0, 202), (1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_sizes_at_the_limit(
    integration: Integration, monkeypatch: pytest.MonkeyPatch, extra: int, status: int, chunked: bool
) -> None:
    body = b"x" * (Probe.max_body + extra)
    changes = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True} if chunked else {}
    monkeypatch.setattr(doors, "_vouched", lambda *args: True)
    assert say(integration, body, **changes).status == status
    assert Receipt.objects.count() == (status == 202)
    if status == 202:
        assert bytes(Receipt.objects.get().body) == body


def test_sizes_of_batches(integration: Integration) -> None:
    limit = 10 * 1024 * 1024
    assert post(integration, b"x" * limit, "batch").status_code == 202
    assert post(integration, b"x" * (limit + 1), "batch").status_code == 413
    assert bytes(Receipt.objects.get().body) == b"x" * limit


def test_djangos_own_limit_is_not_in_the_way(integration: Integration) -> None:
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        assert post(integration, b"x" * 1000).status_code == 202
        assert post(integration, b"x" * (Probe.max_body + 1)).status_code == 413


def test_an_endless_body_is_read_to_the_ceiling_only(integration: Integration) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"x" * size

    stream = Endless()
    answer = say(integration, b"", CONTENT_LENGTH=None, **{"wsgi.input": stream, "wsgi.input_terminated": True})
    assert answer.status == 413
    assert stream.given <= doors.ceiling() + 64 * 1024


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"CONTENT_LENGTH": "26"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "1e3"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "9" * 5000}, 413),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
        ({"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    ],
)
def test_false_lengths(integration: Integration, changes: dict[str, Any], status: int) -> None:
    assert say(integration, BODY, **changes).status == status
    assert not Receipt.objects.exists()


def test_a_body_of_unknown_length_needs_a_proof_that_it_is_whole(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert say(integration, BODY, **unknown).status == 411, "a token says nothing about the body"
    assert say(integration, b"", **unknown).status == 411
    assert say(integration, BODY, **unknown, HTTP_CONTENT_ENCODING="identity").status == 411
    assert say(integration, gzip.compress(BODY), **unknown, HTTP_CONTENT_ENCODING="gzip").status == 202
    assert say(integration, gzip.compress(BODY)[:-9], **unknown, HTTP_CONTENT_ENCODING="gzip").status == 400

    def signed(self: Probe, headers: Any, body: bytes, *args: Any) -> Verdict:
        return Verdict(headers["x-signature"] == hashlib.sha256(body).hexdigest())

    monkeypatch.setattr(Probe, "authenticate", signed)
    unknown["HTTP_X_SIGNATURE"] = hashlib.sha256(BODY).hexdigest()
    assert say(integration, BODY, **unknown).status == 202
    assert say(integration, BODY[:-1], **unknown).status == 401
    assert Receipt.objects.count() == 2


def test_a_broken_connection_leaves_no_half_receipt(integration: Integration) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("connection reset")

    assert say(integration, BODY, **{"wsgi.input": Broken()}).status == 400
    broken = {"wsgi.input": Broken(), "wsgi.input_terminated": True}
    assert say(integration, BODY, CONTENT_LENGTH=None, **broken).status == 400
    assert not Receipt.objects.exists()


def test_compressed_bodies_are_kept_as_they_came(integration: Integration) -> None:
    raw = zlib.compressobj(wbits=-15)
    for coding, body in (
        ("gzip", gzip.compress(BODY)),
        ("X-GZip", gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw.compress(BODY) + raw.flush()),
        ("identity", BODY),
    ):
        assert say(integration, body, HTTP_CONTENT_ENCODING=coding).status == 202
        assert bytes(Receipt.objects.latest("id").body) == body
    assert process(clock.now()).duplicates == 4


PACKED = gzip.compress(BODY)
STREAMS = {
    "at the limit": ("gzip", gzip.compress(b"x" * Probe.max_body), 202),
    "above the limit": ("gzip", gzip.compress(b"x" * (Probe.max_body + 1)), 413),
    "bomb": ("gzip", gzip.compress(bytes(10**7)), 413),
    "bomb in many members": ("gzip", gzip.compress(bytes(10**5)) * 50, 413),
    "bomb in a bomb": ("gzip", gzip.compress(gzip.compress(bytes(10**7))), 202),
    "cut by one": ("gzip", PACKED[:-1], 400),
    "cut after the head": ("gzip", PACKED[:10], 400),
    "empty": ("gzip", b"", 400),
    "trailing bytes": ("gzip", PACKED + b"trailing", 400),
    "second member cut": ("gzip", PACKED + PACKED[:-4], 400),
    "not compressed": ("gzip", BODY, 400),
    "deflate cut": ("deflate", b"\x78\x9c", 400),
    "deflate trailing": ("deflate", zlib.compress(BODY) + b"x", 400),
    "brotli": ("br", BODY, 415),
    "twice": ("gzip, gzip", gzip.compress(PACKED), 415),
    "no name": ("\x00", BODY, 415),
}


@pytest.mark.parametrize("name", STREAMS)
def test_bombs_and_broken_compression(integration: Integration, name: str) -> None:
    coding, body, status = STREAMS[name]
    assert say(integration, body, HTTP_CONTENT_ENCODING=coding).status == status
    assert Receipt.objects.count() == (status == 202)


def test_a_bomb_is_not_unpacked_for_strangers(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    def expand(*args: Any) -> None:
        raise AssertionError("unpacked before it was authentic")

    monkeypatch.setattr(doors.encoding, "expand", expand)
    answer = say(integration, gzip.compress(bytes(10**6)), HTTP_CONTENT_ENCODING="gzip", HTTP_AUTHORIZATION="")
    assert answer.status == 401
