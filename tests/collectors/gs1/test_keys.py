"""GS1 keys: however one is written, it is the same; and one that is none is not taken for one."""

from __future__ import annotations

import pytest
from biip.checksums import gs1_standard_check_digit
from hypothesis import example, given
from hypothesis import strategies as st

from apps.collectors.gs1 import keys
from apps.collectors.gs1.keys import BadKey, Key
from tests.collectors.gs1.writing import Forms, digits
from tests.collectors.gs1.writing import keys as written_keys


@given(written_keys())
def test_urn_and_digital_link_are_the_same_key(forms: Forms) -> None:
    urn, link, kind, value = forms
    assert keys.read(urn) == Key(kind, value)
    assert keys.read(link) == Key(kind, value)
    assert keys.read(f" {urn} ") == Key(kind, value)


@given(digits(17))
def test_an_sscc_is_eighteen_digits_in_every_spelling(number: str) -> None:
    sscc = number + str(gs1_standard_check_digit(number))
    urn = f"urn:epc:id:sscc:{sscc[1:8]}.{sscc[0]}{sscc[8:17]}"
    for text in (sscc, f"00{sscc}", f"(00){sscc}", f"(00) {sscc}", urn, f"https://acme.example/a/b/00/{sscc}"):
        assert keys.read(text) == Key("sscc", sscc)


@given(digits(17), st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_found(number: str, place: int, shift: int) -> None:
    """The check digit of GS1 finds every single wrong digit (General Specifications, section 7.9.1)."""
    sscc = number + keys.check_digit(number)
    wrong = sscc[:place] + str((int(sscc[place]) + shift) % 10) + sscc[place + 1 :]
    for text in (wrong, f"https://id.gs1.org/00/{wrong}"):
        with pytest.raises(BadKey, match="check digit"):
            keys.read(text)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        # examples of the EPC Tag Data Standard and of GS1 Digital Link
        ("urn:epc:id:sscc:0614141.1234567890", "sscc", "106141412345678908"),
        ("urn:epc:id:sgtin:0614141.112345.400", "sgtin", "10614141123459.400"),
        ("urn:epc:id:sgln:0614141.12345.400", "gln", "0614141123452.400"),
        ("urn:epc:id:sgln:0614141.12345.0", "gln", "0614141123452"),
        ("urn:epc:id:grai:0614141.12345.400", "grai", "0614141123452400"),
        ("urn:epc:id:gdti:0614141.12345.400", "gdti", "0614141123452400"),
        ("urn:epc:id:gsrn:0614141.1234567890", "gsrn", "061414112345678902"),
        ("urn:epc:id:bic:CSQU3054383", "container", "CSQU3054383"),
        ("urn:epc:idpat:sgtin:0614141.112345.*", "gtin", "10614141123459"),
        ("https://id.gs1.org/01/9506000134352", "gtin", "09506000134352"),
        ("https://brand.example/some/01/09506000134352/21/ABC?linkType=gs1:pip#x", "sgtin", "09506000134352.ABC"),
        ("https://id.gs1.org/417/9506000134352/", "gln", "9506000134352"),
    ],
)
def test_known_keys(text: str, kind: str, value: str) -> None:
    assert keys.read(text) == Key(kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "urn:epc:id:sscc:0614141.123",
        "urn:epc:id:sscc:06141.123456789012",
        "urn:epc:id:sscc:0614141.12345678x0",
        "urn:epc:id:sscc:0614141.1234567890.1",
        "urn:epc:id:sgtin:0614141.112345",
        "urn:epc:id:sgtin:0614141.112345.",
        "urn:epc:id:giai:0614141.",
        "urn:epc:id:giai:0614141." + "9" * 24,
        "urn:epc:id:bic:C5QU3054383",
        "https://id.gs1.org/01/123",
        "https://id.gs1.org/8003/9506000134352",
        "https://id.gs1.org/00/10614141234567890A",
        "urn:epc:id:sgtin:0614141.\u0661\u0661\u0662\u0663\u0664\u0665.1",
        "x" * 600,
    ],
)
def test_what_only_looks_like_a_key_is_said(text: str) -> None:
    with pytest.raises(BadKey):
        keys.read(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PALLET-7",
        "9506000134352",
        "http://epcis.example.com/obj/12345",
        "https://shop.example/orders/00/17",
        "https://shop.example/01/latest",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "urn:epc:id:gid:95100000.12345.400",
        "urn:epc:idpat:sgtin:0614141.*.*",
        "urn:epc:class",
    ],
)
def test_a_companys_own_identifier_is_no_key(text: str) -> None:
    assert keys.read(text) is None


@given(st.one_of(st.text(max_size=60), written_keys().flatmap(lambda forms: st.sampled_from(forms[:2]))), st.data())
@example("urn:epc:id:sscc:", None)
@example("https://id.gs1.org/00/", None)
@example("http://[/00/1", None)
def test_any_text_gives_a_key_none_or_a_reason(text: str, data: st.DataObject | None) -> None:
    if data is not None and text:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    try:
        found = keys.read(text)
    except BadKey as error:
        reason = str(error)
    else:
        reason = "a key" if found is None or (found.kind and found.value) else ""
    assert reason[:1].islower()
