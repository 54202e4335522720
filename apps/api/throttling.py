"""How often a caller may ask: a count per minute, caller and kind of request, in the shared cache."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

WINDOW = 60


class PerCaller(BaseThrottle):
    """Fixed windows of a minute: one counter each, however many requests there are."""

    _wait = 0.0

    def allow_request(self, request: Any, view: Any) -> bool:
        who = getattr(request.user, "pk", None) or self.get_ident(request)
        delivers = bool(getattr(view, "delivers", False)) and request.method == "POST"
        most = settings.API_DELIVERIES_PER_MINUTE if delivers else settings.API_REQUESTS_PER_MINUTE
        moment = time.time()
        window = int(moment // WINDOW)
        key = f"api-rate:{'in' if delivers else 'any'}:{who}:{window}"
        if cache.add(key, 1, timeout=2 * WINDOW):
            return True
        try:
            count = cache.incr(key)
        except ValueError:  # thrown out of the cache between the two
            return True
        self._wait = (window + 1) * WINDOW - moment
        return bool(count <= most)

    def wait(self) -> float:
        return self._wait
