"""What the API remembers of calls."""

from __future__ import annotations

from django.db import models


class IdempotentAnswer(models.Model):
    """The answer to a call that came with an Idempotency-Key, for the same call again (`idempotency`)."""

    caller = models.CharField(max_length=40, help_text="Kind and number of the person or token")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, address and body")
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotent_once")]
        indexes = [models.Index(fields=["at"], name="idempotent_at")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}"
