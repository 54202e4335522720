"""Watched folders: only complete files, each once, kept before they are moved, and nothing outside of the drop root."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.forms import Form
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors import folders, polling
from apps.collectors.contract import COLLECTORS, PollFailed
from apps.collectors.folder_settings import FolderForm
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.polling import poll_due, poll_one
from apps.collectors.processing import process
from apps.core import clock
from apps.flows.models import Event
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Mapping, Partner, SourceState

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "edi" / "x12_997_partial.edi"
ROWS = b"order,at\nA,2026-03-02T07:00:00Z\n"


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    settings.DROP_ROOT = tmp_path
    (tmp_path / "acme" / "in").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def inbox(root: Path) -> Path:
    return root / "acme" / "in"


@pytest.fixture
def feed(db: None, inbox: Path) -> Callable[..., Integration]:
    def make(**settings: Any) -> Integration:
        partner = Partner.objects.create(slug="acme", name="Acme", kind="3pl")
        spec = {
            "events": [
                {
                    "type": "order.placed",
                    "happened_at": "at",
                    "id": "order",
                    "references": [{"kind": "sales_order", "path": "order"}],
                }
            ]
        }
        mapping = Mapping.objects.create(slug="acme-orders", spec=spec)
        kind = settings.pop("kind", "files")
        return Integration.objects.create(
            slug="acme-files",
            name="Acme files",
            kind=kind,
            partner=partner,
            mapping=mapping if kind == "files" else None,
            settings={"folder": "acme/in", **settings},
        )

    return make


def put(folder: Path, name: str, body: bytes = ROWS, at: datetime = NOW - MINUTE) -> Path:
    path = folder / name
    path.write_bytes(body)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def lying(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def look(now: datetime) -> str:
    summary = poll_one("acme-files", now)
    assert summary is not None
    return summary.error


def test_a_file_is_taken_once_it_has_not_changed_between_two_looks(feed: Any, inbox: Path) -> None:
    feed()
    put(inbox, "orders.csv", ROWS[:-5])
    assert look(NOW) == ""
    put(inbox, "orders.csv", ROWS, NOW + timedelta(seconds=30))
    look(NOW + MINUTE)
    assert not Receipt.objects.exists()
    look(NOW + 2 * MINUTE)
    receipt = Receipt.objects.get()
    assert (bytes(receipt.body), receipt.content_type, receipt.door) == (ROWS, "text/csv", "poll")
    assert receipt.headers == {
        "file-name": "orders.csv",
        "file-modified": "2026-03-02T08:00:30+00:00",
        "file-arrived": "2026-03-02T08:00:30+00:00",
    }
    assert lying(inbox) == ["done/2026-03-02/orders.csv"]
    process(NOW + 2 * MINUTE)
    assert Event.objects.get().type == "order.placed"
    look(NOW + 3 * MINUTE)
    assert Receipt.objects.count() == 1


def test_two_looks_within_a_few_seconds_are_not_enough(feed: Any, inbox: Path) -> None:
    feed()
    put(inbox, "orders.csv")
    look(NOW)
    look(NOW + timedelta(seconds=folders.SETTLE - 1))
    assert not Receipt.objects.exists()
    look(NOW + timedelta(seconds=folders.SETTLE))
    assert Receipt.objects.exists()


@pytest.mark.parametrize(
    "name", ["orders.csv.tmp", "orders.csv.part", "orders.csv.FILEPART", ".orders.csv", "orders.csv~"]
)
def test_what_is_still_being_written_is_left(feed: Any, inbox: Path, name: str) -> None:
    feed(folder_complete="rename")
    path = put(inbox, name)
    look(NOW)
    assert (Receipt.objects.count(), lying(inbox)) == (0, [name])
    path.rename(inbox / "orders.csv")
    look(NOW + MINUTE)
    assert (Receipt.objects.count(), lying(inbox)) == (1, ["done/2026-03-02/orders.csv"])


def test_a_marker_says_that_a_file_is_complete(feed: Any, inbox: Path) -> None:
    feed(folder_complete="marker", folder_marker=".ok")
    put(inbox, "orders.csv")
    for minute in range(3):
        look(NOW + minute * MINUTE)
    assert not Receipt.objects.exists()
    put(inbox, "orders.csv.ok", b"")
    look(NOW + 3 * MINUTE)
    # it was complete when the marker came, after the last look
    assert Receipt.objects.get().headers["file-arrived"] == (NOW + 2 * MINUTE).isoformat()
    assert lying(inbox) == ["done/2026-03-02/orders.csv"]


def test_a_sender_that_keeps_its_own_times_does_not_make_files_older(feed: Any, inbox: Path) -> None:
    feed(folder_complete="rename")
    look(NOW)
    put(inbox, "orders.csv", at=NOW - timedelta(days=3))
    put(inbox, "ahead.csv", at=NOW + timedelta(days=3))
    look(NOW + MINUTE)
    arrived = {one.headers["file-name"]: one.headers["file-arrived"] for one in Receipt.objects.all()}
    assert arrived == {"orders.csv": NOW.isoformat(), "ahead.csv": (NOW + MINUTE).isoformat()}


def test_only_files_of_the_pattern_and_no_links_or_folders(feed: Any, inbox: Path, root: Path) -> None:
    feed(folder_complete="rename", folder_files="*.csv")
    put(inbox, "orders.CSV")
    put(inbox, "notes.txt")
    (inbox / "sub.csv").mkdir()
    secret = put(root, "secret.csv")
    (inbox / "link.csv").symlink_to(secret)
    os.mkfifo(inbox / "pipe.csv")
    look(NOW)
    assert [one.headers["file-name"] for one in Receipt.objects.all()] == ["orders.CSV"]
    assert secret.exists()


def test_a_crash_between_commit_and_move_only_moves(feed: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(folder_complete="rename")
    put(inbox, "orders.csv")

    def die(*args: Any) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(folders.Watch, "_put_away", die)
        with pytest.raises(SystemExit):
            look(NOW)
    assert (Receipt.objects.count(), lying(inbox)) == (1, ["orders.csv"])
    process(NOW)
    look(NOW + polling.LEASE)
    assert (Receipt.objects.count(), lying(inbox)) == (1, ["done/2026-03-02/orders.csv"])
    assert Event.objects.count() == 1


def test_a_crash_before_the_commit_keeps_the_file(feed: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(folder_complete="rename")
    put(inbox, "orders.csv")

    def die(*args: Any) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(polling, "store", die)
        with pytest.raises(SystemExit):
            look(NOW)
    assert (Receipt.objects.count(), lying(inbox)) == (0, ["orders.csv"])
    look(NOW + polling.LEASE)
    assert (Receipt.objects.count(), lying(inbox)) == (1, ["done/2026-03-02/orders.csv"])


def test_the_same_file_sent_again_is_a_duplicate_that_changes_nothing(feed: Any, inbox: Path) -> None:
    feed(folder_complete="rename")
    for minute in range(2):
        put(inbox, "orders.csv")
        look(NOW + minute * MINUTE)
        process(NOW + minute * MINUTE)
    assert lying(inbox) == ["done/2026-03-02/orders-2.csv", "done/2026-03-02/orders.csv"]
    assert list(ReceiptState.objects.order_by("pk").values_list("events", "duplicates")) == [(1, 0), (0, 1)]


def test_a_file_that_became_another_while_it_was_taken_goes_back_and_is_taken(
    feed: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(folder_complete="rename")
    put(inbox, "orders.csv")
    kept = polling._keep
    other = ROWS.replace(b"A", b"BB")

    def keep(lease: Any, batch: Any, now: datetime) -> None:
        if batch.body == ROWS:
            put(inbox, "orders.csv", other, NOW)
        kept(lease, batch, now)

    monkeypatch.setattr(polling, "_keep", keep)
    look(NOW)
    assert lying(inbox) == ["orders.csv"]
    look(NOW + MINUTE)
    assert [bytes(one.body) for one in Receipt.objects.order_by("id")] == [ROWS, other]


def test_what_can_never_be_taken_goes_to_failed_and_is_told(feed: Any, inbox: Path) -> None:
    feed(folder_complete="rename", kind="edi")
    put(inbox, "huge.edi", b"x" * (folders.MOST_BYTES + 1))
    put(inbox, "empty.edi", b"")
    put(inbox, "good.edi", SAMPLE.read_bytes())
    assert "huge.edi has 16,777,217 bytes" in look(NOW)
    assert lying(inbox) == [
        f"{where}/2026-03-02/{name}.edi" for where, name in (("done", "good"), ("failed", "empty"), ("failed", "huge"))
    ]
    finding = Finding.objects.get(kind="source.partial", cleared_at=None)
    assert "split it, or import it" in finding.sentence
    assert look(NOW + MINUTE) == ""
    assert not Finding.objects.filter(cleared_at=None).exists()


def test_edi_comes_by_folder_and_is_polled_by_the_worker(feed: Any, inbox: Path) -> None:
    feed(kind="edi", folder_complete="rename")
    put(inbox, "as2-0001", SAMPLE.read_bytes())
    (summary,) = poll_due(NOW)
    assert (summary.receipts, summary.error) == (1, "")
    process(NOW)
    assert Event.objects.filter(type__in=["message.acknowledged", "message.rejected"]).exists()
    assert SourceState.objects.get().last_success_at == NOW
    assert poll_due(NOW + timedelta(seconds=30)) == []


def test_a_folder_that_cannot_be_read_is_unheard(feed: Any, inbox: Path) -> None:
    feed()
    inbox.rmdir()
    for failures in range(polling.UNHEARD_AFTER):
        assert "does not exist below" in look(NOW + failures * MINUTE)
    assert SourceState.objects.get().stale_since is not None


def test_a_file_that_cannot_be_moved_is_taken_once(feed: Any, inbox: Path) -> None:
    feed(folder_complete="rename")
    put(inbox, "orders.csv")
    put(inbox, "done", b"a file where the folder should be")
    assert "orders.csv was taken but cannot be moved" in look(NOW)
    look(NOW + MINUTE)
    names = [one.headers["file-name"] for one in Receipt.objects.order_by("id")]
    assert sorted(names) == ["done", "orders.csv"]


@pytest.mark.parametrize("name", ["../other", "/etc", "acme/../../etc", "acme\\in", "in\x00", "."])
def test_a_name_that_leads_out_is_refused(root: Path, name: str) -> None:
    with pytest.raises(PollFailed) as refused:
        folders.folder_of(root / "acme", name)
    assert refused.value.permanent or name == "."
    form: Form = FolderForm({"folder": name})
    assert not form.is_valid()


def test_a_link_that_leads_out_is_refused(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (root / "out").symlink_to(elsewhere)
    (root / "top").symlink_to(root)
    for name in ("out", "top"):
        with pytest.raises(PollFailed, match="leads out of"):
            folders.folder_of(root, name)
    (root / "alias").symlink_to(root / "acme")
    assert folders.folder_of(root, "alias/in") == root / "acme" / "in"


@given(st.lists(st.sampled_from(["..", ".", "acme", "in", "", "x", "~", "*"]), max_size=6), st.booleans())
def test_no_name_leads_out(parts: list[str], absolute: bool) -> None:
    name = ("/" if absolute else "") + "/".join(parts)
    top = Path("/drop")
    form = FolderForm({"folder": name})
    if form.is_valid() and form.cleaned_data["folder"]:
        reached = Path(os.path.normpath(top / form.cleaned_data["folder"]))
        assert top in reached.parents


def test_collect_reads_a_folder(feed: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = feed(folder_complete="rename")
    put(inbox, "orders.csv")
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with pytest.raises(SystemExit) as ended:
        call_command("collect", "acme-files", once=True)
    assert ended.value.code == 0
    assert Event.objects.count() == 1
    Integration.objects.filter(pk=one.pk).update(settings={"folder": ""})
    with pytest.raises(CommandError, match="names no watched folder"):
        call_command("collect", "acme-files", once=True)


def test_bad_files_are_dead_letters_and_lie_in_done(feed: Any, inbox: Path) -> None:
    feed(folder_complete="rename")
    put(inbox, "orders.csv", b"order,at\nA,soon\n")
    look(NOW)
    process(NOW)
    assert DeadLetter.objects.get().code == "mapping.bad_time"
    assert lying(inbox) == ["done/2026-03-02/orders.csv"]


def test_every_kind_that_takes_files_names_content_types() -> None:
    for kind in ("files", "edi", "eventlog"):
        assert COLLECTORS.get(kind).content_types
