"""A real Chromium before the live server: desktop, phone and wall screens that fail on any console error or policy
violation. Uses Debian's chromium (``apt install chromium``) through Playwright's synchronous API."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from apps.accounts.models import User

# Playwright's synchronous API keeps an event loop running in the main thread for the rest of the session. Django would
# refuse every query there, although the thread does one thing at a time: nothing is really asynchronous in these tests.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HERE = Path(__file__).parent
AXE_FAILS_AT = {"serious", "critical"}

_WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  const { effectiveDirective: rule, blockedURI: what, sourceFile: file, lineNumber: line } = event;
  console.error(`policy violation: ${rule} refused ${what} (${file}:${line})`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


class Screen:
    """One page on one screen. ``page`` is Playwright's; ``complaints`` is what the browser says is wrong."""

    def __init__(self, context: BrowserContext, address: str, pictures: Path, name: str) -> None:
        self.context = context
        self.address = address
        self.complaints: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self._pictures = pictures
        self._name = name
        context.add_init_script(_WATCH_POLICY)
        self.page: Page = context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def sign_in(self, who: str | User = "operations") -> User:
        """As a person, or as somebody new with this role; by session cookie."""
        if isinstance(who, str):
            user = User.objects.filter(username=who).first() or User.objects.create_user(
                who,
                email=f"{who}@tower.example",
                role=who,
                first_name=who.replace("_", " ").title(),
                last_name="Person",
            )
        else:
            user = who
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": self.address}])
        return user

    def open(self, path: str) -> Page:
        """Opens a path of the live server and waits until its scripts and fragments are quiet."""
        self.page.goto(self.address + path)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def expect_complaint(self, pattern: str) -> None:
        """This one is meant to happen (a 404 asked for on purpose)."""
        self._expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        return [one for one in self.complaints if not any(pattern.search(one) for pattern in self._expected)]

    def no_axe_violations(self) -> None:
        """Fails on serious and critical violations with where they are and how to mend them."""
        answer = Axe().run(self.page, options={"resultTypes": ["violations"]}).response
        found = [one for one in answer["violations"] if one["impact"] in AXE_FAILS_AT]
        told = [
            f"{one['id']} ({one['impact']}): {one['help']}\n    "
            + "\n    ".join(f"{node['html'][:160]}  {node['failureSummary'][:220]}" for node in one["nodes"][:5])
            for one in found
        ]
        assert not found, f"{self._name} {self.page.url}\n" + "\n".join(told)

    def no_sideways_scroll(self) -> None:
        """The page itself never scrolls sideways (tables scroll inside their own frame)."""
        wide, room = self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= room, f"{self._name} {self.page.url}: {wide} px wide on {room} px"

    def picture(self, name: str, full: bool = True) -> Path:
        """Keeps a screenshot in $TOWER_PICTURES; without, of what is in view, in pytest's temporary folder."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        path = self._pictures / f"{name}-{self._name}.png"
        self.page.screenshot(path=path, full_page=full and "TOWER_PICTURES" in os.environ)
        return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no browser test without Debian's chromium (apt install chromium)")
    arguments = ["--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def server_as_application(live_server: Any) -> Iterator[str]:
    """The live server's threads use the application's database role as well, like in production."""

    def take_role(sender: Any, connection: Any, **kwargs: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE controltower_app")

    connection_created.connect(take_role, dispatch_uid="browser-tests")
    with _requests_ended():
        yield live_server.url
    connection_created.disconnect(dispatch_uid="browser-tests")
    assert connection.vendor == "postgresql"


@contextmanager
def _requests_ended() -> Iterator[None]:
    """Waits at its end for the requests still running: the tables are emptied next, and would wait for each other."""
    running = 0
    change = Condition()

    def count(step: int) -> None:
        nonlocal running
        with change:
            running += step
            change.notify_all()

    def begun(sender: Any, **kwargs: Any) -> None:
        count(+1)

    def ended(sender: Any, **kwargs: Any) -> None:
        count(-1)

    request_started.connect(begun)
    request_finished.connect(ended)
    yield
    with change:
        assert change.wait_for(lambda: running <= 0, timeout=15), f"{running} requests did not end"
    request_started.disconnect(begun)
    request_finished.disconnect(ended)


@pytest.fixture
def screens(chromium: Browser, server_as_application: str, tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Makes screens: ``screens("phone")``; Playwright's context options: ``screens("wall", color_scheme="dark")``."""
    made: list[Screen] = []
    shapes: dict[str, dict[str, Any]] = {
        "desktop": {"viewport": {"width": 1366, "height": 900}},
        "phone": {
            "viewport": {"width": 390, "height": 844},
            "device_scale_factor": 2,
            "is_mobile": True,
            "has_touch": True,
        },
        "wall": {"viewport": {"width": 1920, "height": 1080}},
    }
    pictures = Path(os.environ.get("TOWER_PICTURES") or tmp_path)

    def make(shape: str = "desktop", **options: Any) -> Screen:
        context = chromium.new_context(**{"reduced_motion": "reduce", **shapes[shape], **options})
        context.set_default_timeout(15_000)
        dark = "-dark" if options.get("color_scheme") == "dark" else ""
        screen = Screen(context, server_as_application, pictures, shape + dark)
        made.append(screen)
        return screen

    yield make
    complaints = [line for screen in made for line in screen.unexpected()]
    for screen in made:
        screen.context.close()
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)


@pytest.fixture
def desktop(screens: Callable[..., Screen]) -> Screen:
    return screens("desktop")


@pytest.fixture
def phone(screens: Callable[..., Screen]) -> Screen:
    return screens("phone")


@pytest.fixture
def wall(screens: Callable[..., Screen]) -> Screen:
    return screens("wall")
