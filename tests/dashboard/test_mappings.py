"""The mapping editor's addresses: previews, tries, versions, going back, and who may."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry
from apps.integrations.models import ChangeMarker, Integration, Mapping
from tests.dashboard.network import NOW, definitions, event, fill, integration, person, told

pytestmark = pytest.mark.django_db
PAGE = "/integrations/acme-events/mapping/"
TEXT = """\
# ours
events:
  - type: {path: $.state, values: {P: pick.completed}}
    happened_at: $.at
    references:
      - {kind: sales_order, path: $.no}
"""
WIDER = TEXT.replace("{P: pick.completed}", "{P: pick.completed, S: shipment.dispatched}")
OTHER = TEXT.replace("pick.completed", "order.placed")


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


@pytest.fixture
def source() -> Integration:
    """Three messages: two the first mapping knows, one it does not."""
    found = integration()
    told(found, [{"state": state, "no": f"SO-{n}", "at": NOW.isoformat()} for n, state in enumerate("PPS")])
    return found


def post(client: Client, verb: str, **values: Any) -> Any:
    return client.post(f"{PAGE}{verb}/", {"mapping": TEXT, "base": 0, **values}, headers={"HX-Request": "true"})


def text(answer: Any) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", answer.content.decode())


def test_the_page_shows_the_newest_message_and_a_draft(client: Client, source: Integration) -> None:
    answer = client.get(PAGE)
    assert json.loads(answer.context["sample"].text) == {"state": "S", "no": "SO-2", "at": NOW.isoformat()}
    assert "$.state" in answer.context["text"]
    assert "A first draft" in answer.context["text"]
    assert {one.path for one in answer.context["preview"].suggestions} == {"$.state", "$.no", "$.at"}


def test_without_any_message_a_sample_can_be_pasted(client: Client) -> None:
    integration()
    assert "No sample yet" in text(client.get(PAGE))
    answer = post(client, "preview", sample='{"state": "P", "no": "SO-9", "at": "2026-03-04T10:15:00Z"}')
    assert answer.context["preview"].count == 1
    assert "SO-9" in text(answer)


def test_a_preview_follows_the_text_and_keeps_nothing(client: Client, source: Integration) -> None:
    answer = post(client, "preview")
    assert answer.context["preview"].issues[0].code == "mapping.unknown_code"
    assert post(client, "preview", mapping=WIDER).context["preview"].count == 1
    wrong = post(client, "preview", mapping=TEXT.replace("$.at", "$..at"))
    assert (wrong.context["preview"].troubles[0].line, wrong.context["preview"].troubles[0].column) == (4, 18)
    assert "Line 4, column 18" in text(wrong)
    assert not Mapping.objects.exists()


def test_only_messages_of_the_integration_are_samples(client: Client, source: Integration) -> None:
    [foreign] = told(integration("Other source"), [{"secret": "of others"}])
    assert "of others" not in client.get(f"{PAGE}?receipt={foreign}").content.decode()
    assert "of others" not in client.get(f"{PAGE}sample/?receipt={foreign}").content.decode()
    assert "of others" not in post(client, "preview", receipt=foreign).content.decode()


def test_what_changes_is_said_before_it_is_saved(client: Client, source: Integration) -> None:
    first = post(client, "save")
    assert "0 parse as before, 3 change" in text(first)
    assert not Mapping.objects.exists()
    assert post(client, "save", sure="of something else").status_code == 200
    assert not Mapping.objects.exists()
    done = post(client, "save", sure=first.context["sure"], note="As they wrote in March")
    assert done.status_code == 204
    assert done["HX-Redirect"].endswith(PAGE)
    made = Mapping.objects.get()
    source.refresh_from_db()
    assert (made.slug, made.version, made.author_name, made.note) == (
        "acme-events",
        1,
        "Operations",
        "As they wrote in March",
    )
    assert (made.source, source.mapping) == (TEXT, made)
    assert AuditEntry.objects.get(action="mapping.saved").after["version"] == 1
    assert ChangeMarker.objects.get(kind="mapping.saved").integration == source


def test_a_change_of_some_is_told_by_number_and_kind(client: Client, source: Integration) -> None:
    save(client, TEXT)
    trial = post(client, "try", mapping=WIDER).context["trial"]
    assert (trial.tried, trial.same, len(trial.changed), trial.worse) == (3, 2, 1, 0)
    assert trial.sentence.startswith("2 parse as before, 1 changes: 1 event instead of 0 (1)")
    assert "All of the last 3 messages parse as before" in text(post(client, "try"))
    other = post(client, "try", mapping=OTHER).context["trial"]
    assert other.kinds[0] == ("“Pick completed” becomes “Order placed”", 2) or other.kinds[0][1] == 2
    worse = post(client, "try", mapping=TEXT.replace("P: pick", "Q: pick")).context["trial"]
    assert worse.worse == 2


def save(client: Client, mapping: str, base: int = 0) -> Any:
    sure = post(client, "save", mapping=mapping, base=base)
    if sure.status_code != 200:
        return sure
    return post(client, "save", mapping=mapping, base=base, sure=sure.context["sure"])


def test_versions_and_back(client: Client, source: Integration) -> None:
    save(client, TEXT)
    save(client, WIDER, 1)
    save(client, WIDER, 2)
    assert [one.version for one in Mapping.objects.order_by("version")] == [1, 2], "the same again is no version"
    assert client.get(f"{PAGE}?version=1").context["text"] == TEXT
    assert client.post(f"{PAGE}go-back/", {"version": 7}).status_code == 404
    assert client.post(f"{PAGE}go-back/", {"version": 1}).status_code == 302
    source.refresh_from_db()
    assert source.mapping is not None
    assert (source.mapping.version, source.mapping.source, source.mapping.note) == (3, TEXT, "Version 1 again")


def test_two_people_do_not_overwrite_each_other(client: Client, source: Integration) -> None:
    save(client, TEXT)
    late = save(client, OTHER, 0)
    assert late.status_code == 422
    assert "Operations saved version 1 while you were at it" in text(late)
    assert Mapping.objects.count() == 1


def test_all_who_read_by_it_get_the_new_version(client: Client, source: Integration) -> None:
    save(client, TEXT)
    source.refresh_from_db()
    twin = integration("Twin", mapping=source.mapping)
    assert "Twin reads by this mapping too" in text(client.get(PAGE)).replace("  ", " ")
    save(client, WIDER, 1)
    twin.refresh_from_db()
    assert twin.mapping is not None
    assert twin.mapping.version == 2
    assert set(ChangeMarker.objects.filter(text__contains="version 2").values_list("integration__slug", flat=True)) == {
        "acme-events",
        "twin",
    }


def test_what_is_wrong_is_not_saved(client: Client, source: Integration) -> None:
    answer = post(client, "save", mapping="events: [")
    assert answer.status_code == 422
    assert "Not saved" in text(answer)
    assert not Mapping.objects.exists()


def test_others_look(client: Client, source: Integration) -> None:
    client.force_login(person("manager"))
    assert "Save version" not in client.get(PAGE).content.decode()
    assert post(client, "preview").status_code == 200
    assert post(client, "save").status_code == 403
    assert client.post(f"{PAGE}go-back/", {"version": 1}).status_code == 403


def test_kinds_without_mapping_have_no_editor(client: Client) -> None:
    integration("Their EDI", kind="edi")
    assert client.get("/integrations/their-edi/mapping/").status_code == 404
    assert client.get("/integrations/none/mapping/").status_code == 404


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"", b'{"a": 1}\x00', b'{"a": "' + b"x" * 70_000 + b'"}'])
def test_odd_samples_are_shown(client: Client, body: bytes) -> None:
    told(integration(), [body])
    assert client.get(PAGE).status_code == 200
    assert post(client, "preview").status_code == 200


def test_messages_in_our_own_form_need_none(client: Client) -> None:
    told(integration(), [event(1)])
    assert "need no mapping" in text(client.get(PAGE))
    told(integration(), [b"{"])
    assert "need no mapping" not in text(client.get(PAGE))


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    page = "/integrations/source-0/mapping/"
    first = queries(page)
    fill(50)
    told(integration("Source 0"), [b"{"] * 50)
    assert queries(page) == first <= 12
