"""Process-wide settings of the interpreter for work in large batches."""

from __future__ import annotations

import gc
import os


def calm_collector() -> None:
    """Fewer garbage collections: a batch makes a hundred thousand long-lived objects and hardly a cycle.

    Measured on the pipeline: a third of the processor time went into looking through them again and again, of a large
    page's an eighth and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def stand_back() -> None:
    """Lets the doors go first where both want the processor: what is accepted may wait a moment, a sender may not."""
    os.nice(5)
