"""What the tower says about itself."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """When a part of the tower last finished its round (``sweep``, ``beat``, ``dispatch``, ``processing``)."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}Z"
