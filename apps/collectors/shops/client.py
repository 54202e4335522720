"""Asks a shop's API through the outbound door: bounded waits, rate limits heeded, every trouble a sentence.

A shop is distrusted like any partner: no redirect is followed, a reply must be JSON of the expected shape and fit a
size, and an address in a reply is never gone to (of a ``Link`` header only the page's token is taken).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from apps.collectors import jsonbody
from apps.collectors.shops.settings import ShopSettings
from apps.core.outbound import OutboundFailed, OutboundRefused, RedirectRefused, ReplyTooLarge, Response, request
from apps.flows.canonical import ParseFailure

#: seconds one round may spend on a shop, and on waiting because the shop asked for a pause
ROUND_SECONDS = 60.0
WAIT_SECONDS = 8.0
#: seconds to wait when a shop that is asked too often does not say how long
PAUSE = 2.0

Send = Callable[..., Response]


class ShopError(Exception):
    """A question that brought no answer; its text is a sentence.

    permanent: only a person can help; key: it was refused; large: the answer was more than is taken.
    """

    def __init__(self, sentence: str, *, permanent: bool = False, key: bool = False, large: bool = False) -> None:
        super().__init__(sentence)
        self.permanent = permanent
        self.key = key
        self.large = large


@dataclass(slots=True)
class ShopClient:
    """GET requests to one shop. name: the software, for sentences; keys: headers of every stored key, best first."""

    name: str
    settings: ShopSettings
    keys: Sequence[Mapping[str, str]]
    send: Send = request
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _key: int = 0
    _ends: float = field(default=0.0)
    _waited: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._ends = self.clock() + ROUND_SECONDS

    def get(self, path: str, query: Mapping[str, str]) -> tuple[Any, Mapping[str, str]]:
        """The JSON value and the headers of a reply. Raises `ShopError`."""
        if not self.keys:
            raise ShopError(
                f"No key for the API of {self.name} is stored, so what its webhooks may have missed cannot be found: "
                "add one as a credential.",
                permanent=True,
            )
        while True:
            try:
                reply = self._once(path, query)
            except ShopError as error:
                if not error.key or self._key + 1 >= len(self.keys):
                    raise
                self._key += 1
                continue
            if reply is not None:
                return self._value(reply), reply.headers

    def _once(self, path: str, query: Mapping[str, str]) -> Response | None:
        """A good reply; None after a wait the shop asked for."""
        left = self._ends - self.clock()
        if left <= 0:
            raise ShopError(f"{self.name} answers so slowly that a round took longer than {ROUND_SECONDS:g} s.")
        url = f"{self.settings.base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            reply = self.send(
                "GET",
                url,
                headers={"accept": "application/json", **self.keys[self._key]},
                timeout=min(self.settings.timeout, left),
                max_bytes=self.settings.reply_limit,
                allow=self.settings.allow,
            )
        except ReplyTooLarge as error:
            raise ShopError(str(error), permanent=True, large=True) from None
        except RedirectRefused:
            sentence = f"{self.name} answered with a redirect, which is not followed: check the base address."
            raise ShopError(sentence, permanent=True) from None
        except OutboundRefused as error:
            raise ShopError(str(error), permanent=True) from None
        except OutboundFailed as error:
            raise ShopError(str(error), permanent=error.permanent) from None
        if reply.status == 200:
            return reply
        if reply.status in (429, 503):
            self._wait(reply)
            return None
        raise self._refusal(reply)

    def _wait(self, reply: Response) -> None:
        asked = reply.headers.get("retry-after", "").strip()
        try:
            seconds = max(0.1, float(asked)) if asked else PAUSE
        except ValueError:  # a date, or nonsense
            seconds = PAUSE
        if not self._waited + seconds <= WAIT_SECONDS:
            what = "asks for fewer questions" if reply.status == 429 else "is not available"
            pause = f" and wants a pause of {asked[:40]} s" if asked else ""
            raise ShopError(f"{self.name} {what} ({reply.status}){pause}; it is asked again later.")
        self._waited += seconds
        self.sleep(seconds)

    def _refusal(self, reply: Response) -> ShopError:
        if reply.status in (401, 403):
            sentence = (
                f"{self.name} refused the key ({reply.status}): store one that may read orders, and check that it belongs "
                "to this shop."
            )
            return ShopError(sentence, permanent=True, key=True)
        if reply.status in (402, 404, 410, 423):
            sentence = f"{self.name} does not know this address or is closed ({reply.status}): check the base address."
            return ShopError(sentence, permanent=True)
        if reply.status >= 500:
            return ShopError(f"{self.name} failed on the question ({reply.status}); it is asked again later.")
        return ShopError(f"{self.name} did not accept the question ({reply.status}).", permanent=True)

    def _value(self, reply: Response) -> Any:
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ShopError(f"{self.name} answered with {kind or 'no content type'} where JSON was expected.")
        try:
            return jsonbody.read(reply.body).value
        except ParseFailure as failure:
            raise ShopError(f"The answer of {self.name} cannot be read: {failure.issue.sentence}") from None


def orders_in(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of orders of an answer. Raises `ShopError` when it is something else."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ShopError(f"{name} answered the question for orders with something else.")
    return value
