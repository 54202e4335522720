"""A worker process for benches: drains receipts until it is told to stop."""

from __future__ import annotations

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controltower.settings.dev")
django.setup()

from apps.core.tuning import calm_collector, stand_back  # noqa: E402
from benchmarks.project import drain  # noqa: E402

if __name__ == "__main__":
    calm_collector()  # as the worker does
    stand_back()
    while True:
        if not drain():
            time.sleep(0.02)
