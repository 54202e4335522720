"""A message repeats the whole history of a parcel: the same scan is the same event, whatever stands around it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collectors.carriers.parsing import HISTORIES, at, changed, codes, read, sample, scans, told
from tests.collectors.test_contract import well_formed

KINDS = sorted(HISTORIES)
ALL = [*KINDS, "sendcloud"]
NEW_CODE = "Zz9_NEW"


def history(kind: str) -> tuple[Any, Any, tuple[str, ...]]:
    name, path, fields = HISTORIES[kind]
    return sample(kind, name), path, fields


@pytest.mark.parametrize("kind", KINDS)
def test_one_event_for_each_scan(kind: str) -> None:
    document, path, _ = history(kind)
    result = read(kind, document)
    unmapped = sum(issue.code.endswith("unmapped_status") and "no event" in issue.sentence for issue in result.issues)
    assert len(scans(result)) == len(at(document, path)) - unmapped
    assert len({event.source_event_id for event in result.events}) == len(result.events)
    assert all(event.references[0].kind == "tracking_number" for event in result.events)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_history_changes_nothing(kind: str) -> None:
    document, path, _ = history(kind)
    for seed in range(5):
        shuffled = changed(document, lambda one, seed=seed: random.Random(seed).shuffle(at(one, path)))
        assert told(read(kind, shuffled)) == told(read(kind, document))


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_history_adds_to_what_was_told(kind: str) -> None:
    """Every scan of an earlier, shorter message is told again word for word: no conflict, no duplicate."""
    document, path, _ = history(kind)
    whole = {(event.source_event_id, str(event.content_key())) for event in scans(read(kind, document))}
    for number in range(len(at(document, path))):

        def cut(one: Any, number: int = number) -> None:
            at(one, path).pop(number)
            one.get("data", {}).pop("tracking_status", None)
            one.get("shipments", [{}])[0].pop("status", None)

        shorter = scans(read(kind, changed(document, cut)))
        # Karrio tells the parcel's status, which is then that of another latest scan
        allowed = 1 if kind == "karrio" else 0
        extra = {(event.source_event_id, str(event.content_key())) for event in shorter} - whole
        assert len(extra) <= allowed, extra
        assert not {identity for identity, _ in extra} & {identity for identity, _ in whole}, "a conflict"


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_told_twice_in_one_message_is_one(kind: str) -> None:
    document, path, _ = history(kind)
    doubled = changed(document, lambda one: at(one, path).extend(json.loads(json.dumps(at(one, path)))))
    assert told(read(kind, doubled)) == told(read(kind, document))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_eta_is_news_and_no_conflict(kind: str) -> None:
    document, _, _ = history(kind)
    first = read(kind, document)
    later = read(
        kind, json.loads(json.dumps(document).replace("2026-01-17", "2026-01-23").replace("2026-01-19", "2026-01-23"))
    )
    one, two = dict(told(first)), dict(told(later))
    assert all(one[identity] == two[identity] for identity in one.keys() & two.keys())
    etas = [event.dates.get("eta") for event in later.events]
    assert (told(first) != told(later)) is any(eta and eta.day in (22, 23, 24) for eta in etas)


def unknown(kind: str, document: Any, number: int = 1) -> tuple[Any, str]:
    """The document with a status nobody knows in one scan, and that status as the issue should name it."""
    _, path, fields = history(kind)

    def change(one: Any) -> None:
        scan = at(one, path)[number]
        for field in fields:
            if isinstance(scan.get(field), dict):
                scan[field] = {**scan[field], "type": NEW_CODE, "code": NEW_CODE}
            else:
                scan[field] = NEW_CODE
        if kind == "shippo":
            scan["substatus"] = None

    return changed(document, change), NEW_CODE


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_status_is_listed_and_gives_no_event(kind: str) -> None:
    document, _, _ = history(kind)
    before = read(kind, document)
    other, code = unknown(kind, document)
    after = read(kind, other)
    assert len(scans(after)) == len(scans(before)) - 1
    assert told(after) <= told(before)
    listed = [issue for issue in after.issues if issue.code == f"{kind}.unmapped_status" and code in issue.sentence]
    assert len(listed) == 1
    assert listed[0].severity == "warning"
    assert listed[0].position.startswith("$")
    assert "[1]" in listed[0].position
    carriers = {event.parties["carrier"].partition(":")[2] for event in before.events}
    assert any(carrier in listed[0].sentence.lower() for carrier in carriers)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_say_what_a_status_means(kind: str) -> None:
    document, _, _ = history(kind)
    other, _ = unknown(kind, document)
    code = next(issue for issue in read(kind, other).issues if NEW_CODE in issue.sentence).fragment
    mapped = read(kind, other, status_codes=f"{code} = delivery.attempted")
    assert [event.data["exception"] for event in mapped.events if event.data.get("status_code") == code]
    assert not [issue for issue in mapped.issues if NEW_CODE in issue.sentence]
    ignored = read(kind, other, status_codes=f"{code} = ignore")
    assert not [issue for issue in ignored.issues if NEW_CODE in issue.sentence]
    assert len(ignored.events) == len(mapped.events) - 1


@pytest.mark.parametrize("kind", ALL)
def test_carriers_are_partners_where_the_settings_say_so(kind: str) -> None:
    name = HISTORIES[kind][0] if kind in HISTORIES else "status_changed"
    result = read(kind, sample(kind, name))
    carrier = result.events[0].parties["carrier"].partition(":")[2]
    named = read(kind, sample(kind, name), carriers=f"{carrier} = our-carrier")
    assert {event.parties["carrier"] for event in named.events} == {"our-carrier"}


# --- any JSON at any place

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "2026-13-99", "delivered", "9" * 300, "\x00", "24:00", "2026-01-16T25:00:00", "é"])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


@pytest.mark.parametrize("kind", ALL)
def test_any_value_in_any_place_gives_events_or_clear_issues(kind: str) -> None:
    document = sample(kind, HISTORIES[kind][0] if kind in HISTORIES else "status_changed")
    spots = [place for place in places(document) if place]

    @settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(spots), JSON), min_size=1, max_size=3))
    def run(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
        other = json.loads(json.dumps(document))
        for place, value in changes:
            try:
                at(other, place[:-1])[place[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue
        result = read(kind, other)
        well_formed(result)
        assert result.events or result.issues, "not a word"
        assert result == read(kind, other)

    run()


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("document", [[], {}, [1, "x"], {"data": None}, {"data": []}, {"event": 7}, [{}], "text", 3])
def test_messages_without_anything_say_so(kind: str, document: Any) -> None:
    result = read(kind, document)
    assert not result.events
    assert codes(result)
    assert all(code.startswith(f"{kind}.") for code in codes(result))


def test_a_scan_is_the_same_event_as_the_latest_and_later() -> None:
    """Its own code comes before the parcel's status, which moves on to the next scan."""
    document = sample("shipengine", "without_codes")

    def as_it_was(one: Any) -> None:
        one["data"].update(status_code="IT", events=one["data"]["events"][1:])

    before, after = read("shipengine", changed(document, as_it_was)), read("shipengine", document)
    assert [event.type for event in before.events] == ["transport.out_for_delivery"]
    assert told(before) <= told(after)
    assert [event.type for event in after.events] == ["delivery.completed", "transport.out_for_delivery"]


def test_the_parcels_status_reads_a_latest_scan_of_unknown_code() -> None:
    document = changed(sample("karrio", "tracker"), lambda one: one["data"]["events"][0].update(code="VP77"))
    result = read("karrio", document)
    assert result.events[0].type == "transport.out_for_delivery"
    assert [issue.fragment for issue in result.issues] == ["valpost:VP77", "valpost:VP1"]
