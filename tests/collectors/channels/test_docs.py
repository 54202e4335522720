"""The settings that the pages of channels, gateways and message logs show can be used as shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from apps.collectors.channels.envelope import CONTENT_TYPE
from apps.collectors.contract import COLLECTORS

PAGES = Path(settings.BASE_DIR) / "docs" / "collectors"


def shown() -> list[Any]:
    found = []
    for page in ("channels", "gateway_log", "message_log"):
        for text in re.findall(r"```yaml\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL):
            lines = text.splitlines()
            indent = len(lines[0]) - len(lines[0].lstrip())
            document = yaml.safe_load("\n".join(line[indent:] for line in lines))
            found += [pytest.param(one, id=one["slug"]) for one in document["integrations"]]
    return found


@pytest.mark.parametrize("integration", shown())
def test_settings_as_shown_are_taken(integration: dict[str, Any]) -> None:
    form = COLLECTORS.get(integration["kind"]).ConfigForm(integration["settings"])
    assert form.is_valid(), form.errors
    assert set(integration["settings"]) <= set(form.fields)


def test_the_page_of_channels_names_every_setting() -> None:
    text = (PAGES / "channels.md").read_text()
    for kind in ("amqp", "redis_stream", "kafka"):
        form = COLLECTORS.get(kind).ConfigForm()
        assert [name for name in form.fields if f"`{name}`" not in text and f"{name}:" not in text] == []
        assert list(COLLECTORS.get(kind).content_types.values()) == [CONTENT_TYPE]
