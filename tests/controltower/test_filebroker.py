"""The laptop's broker: a message is whole or not there, and a torn one ends no worker."""

from __future__ import annotations

import time
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import get_transport_cls

from controltower.celery import app
from controltower.filebroker import Transport


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    for name in ("in", "control"):
        (tmp_path / name).mkdir()
    options = {
        "data_folder_in": str(tmp_path / "in"),
        "data_folder_out": str(tmp_path / "in"),
        "control_folder": str(tmp_path / "control"),
    }
    with Connection("filesystem://", transport_options=options) as connection:
        yield connection.channel()


def test_the_application_uses_it() -> None:
    assert app.main == "controltower"
    assert get_transport_cls("filesystem") is Transport


def test_what_is_put_is_got_in_order(channel: Any) -> None:
    for number in range(3):
        time.sleep(0.002)  # names are ordered by the millisecond
        channel._put("ingest", {"n": number})
    assert [channel._get("ingest")["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("ingest")


def test_a_torn_message_is_passed_over(channel: Any, tmp_path: Path) -> None:
    (tmp_path / "in" / "1_torn.ingest.msg").write_bytes(b"")
    (tmp_path / "in" / "2_half.ingest.msg").write_bytes(b'{"n": ')
    channel._put("ingest", {"n": 7})
    assert channel._get("ingest") == {"n": 7}


def test_an_unfinished_message_is_not_seen(channel: Any, tmp_path: Path) -> None:
    (tmp_path / "in" / "1_new.ingest.msg.new").write_bytes(b"")
    with pytest.raises(Empty):
        channel._get("ingest")
