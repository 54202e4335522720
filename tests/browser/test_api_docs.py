"""The API's page in a real browser: nothing from elsewhere, nothing the content policy refuses."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_api_can_be_read_in_the_browser(desktop: Screen) -> None:
    desktop.sign_in("operations")
    page = desktop.open("/api/v1/docs/")
    expect(page.get_by_text("/api/v1/flows/", exact=True).first).to_be_visible()
    page.locator("#operations-integrations-receipts_create").click()
    expect(page.get_by_text("Delivers one message").first).to_be_visible()
