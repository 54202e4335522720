"""manage.py ingest: files by the same way as the doors."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.collectors.models import Receipt
from apps.flows.models import Event
from apps.integrations.models import Integration

pytestmark = pytest.mark.django_db


def ingest(*files: Path, exits: int = 0, **options: Any) -> Any:
    out = StringIO()
    if exits:
        with pytest.raises(SystemExit) as ended:
            call_command("ingest", *map(str, files), integration="acme-feed", stdout=out, **options)
        assert ended.value.code == exits
    else:
        call_command("ingest", *map(str, files), integration="acme-feed", stdout=out, **options)
    return json.loads(out.getvalue()) if options.get("json") else out.getvalue()


def test_files_become_receipts_and_events(integration: Integration, tmp_path: Path) -> None:
    good, again = tmp_path / "a.json", tmp_path / "b.json"
    good.write_bytes(b'{"id": "1", "order": "A"} \n')
    again.write_bytes(b'[{"id": "1", "order": "A"}, {"id": "2", "order": "A"}]')
    done = ingest(good, again, json=True)
    assert [(r["events"], r["duplicates"], r["status"]) for r in done["receipts"]] == [(1, 0, "done"), (1, 1, "done")]
    assert (done["events"], done["duplicates"], done["dead_letters"]) == (2, 1, 0)
    kept = Receipt.objects.get(pk=done["receipts"][0]["receipt"])
    assert (kept.door, kept.headers, kept.content_type) == ("file", {"file-name": "a.json"}, "application/json")
    assert bytes(kept.sha256) == hashlib.sha256(good.read_bytes()).digest()


def test_dead_letters_are_told_and_end_with_1(integration: Integration, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('[{"id": "1"}, {"id": "2", "order": "A"}]')
    text = ingest(bad, exits=1)
    assert "1 events, 0 duplicates" in text
    assert "error probe.no_order at row 1: The row names no order." in text
    done = ingest(bad, exits=1, json=True)
    assert done["receipts"][0]["dead_letters"][0]["code"] == "probe.no_order"
    assert (done["events"], done["duplicates"]) == (0, 1)


def test_a_warning_is_no_failure(integration: Integration, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text('{"order": "A", "data": {"n": NaN}}')
    assert "warning event.adjusted at row 1" in ingest(odd)


def test_folders_give_the_files_of_the_kind_in_order(integration: Integration, tmp_path: Path) -> None:
    for name in ("b.json", "sub/a.JSON", ".hidden.json", ".git/x.json", "note.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"id": name, "order": "A"}))
    (tmp_path / "link.json").symlink_to(tmp_path / "b.json")
    done = ingest(tmp_path, json=True, backfill=True)
    assert [Path(r["file"]).name for r in done["receipts"]] == ["b.json", "a.JSON"]
    assert all(Event.objects.values_list("backfill", flat=True))


def test_what_cannot_be_taken_ends_with_2_and_says_why(integration: Integration, tmp_path: Path) -> None:
    big = tmp_path / "big.json"
    with big.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, sentence in (
        (big, "Split it"),
        (tmp_path / "none", "no file and no folder"),
        (empty, "No file of a kind"),
    ):
        with pytest.raises(CommandError, match=sentence) as error:
            ingest(path)
        assert error.value.returncode == 2
    with pytest.raises(CommandError, match="no integration 'nobody'"):
        call_command("ingest", str(big), integration="nobody")
    assert not Receipt.objects.exists()


def test_many_files_in_several_commits(integration: Integration, tmp_path: Path) -> None:
    for number in range(230):
        (tmp_path / f"{number:03}.json").write_text(json.dumps({"id": str(number), "order": "A"}))
    assert ingest(tmp_path, json=True)["events"] == 230
