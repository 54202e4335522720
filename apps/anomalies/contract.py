"""What a detector is: one class in one file of `apps.anomalies.detectors`. Pure: history and the present in, a verdict out."""

from __future__ import annotations

from typing import ClassVar

from apps.core.registry import Registry


class Detector:
    """Base of all detectors. Subclasses set `kind` and `label`."""

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""


DETECTORS: Registry[Detector] = Registry("apps.anomalies.detectors", Detector)
