"""A worker process for benches: judges open flows again until nothing is left to do."""

from __future__ import annotations

import os
import sys
from datetime import datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controltower.settings.dev")
django.setup()

from apps.core.tuning import calm_collector, stand_back  # noqa: E402
from apps.sla import rederiving  # noqa: E402

if __name__ == "__main__":
    calm_collector()  # as the worker does
    stand_back()
    now = datetime.fromisoformat(sys.argv[1])
    while rederiving.step(now) is not None:
        pass
