"""What the collectors' pages show works as shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from apps.collectors import mapping
from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext

PAGES = Path(settings.BASE_DIR) / "docs" / "collectors"
BLOCK = re.compile(r"```(json|yaml)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(page.stem, text, id=f"{page.stem}-{number}")
        for page in sorted(PAGES.glob("*.md"))
        if page.stem in ("mapping", "webhook", "cloudevents", "otlp", "eventlog")
        for number, (found, text) in enumerate(BLOCK.findall(page.read_text()))
        if found == language
    ]


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_mappings_can_be_used(page: str, text: str) -> None:
    assert mapping.remarks(yaml.safe_load(text)) == []


@pytest.mark.parametrize(("page", "text"), blocks("json"))
def test_deliveries_give_events(page: str, text: str) -> None:
    json.loads(text)
    delivery = RawDelivery(text.encode(), "application/json", {}, datetime(2026, 1, 20, tzinfo=UTC))
    result = COLLECTORS.get(page).parse(delivery, SourceContext("docs", "acme", "UTC"))
    assert len(result.events) == 1
    assert result.issues == ()
