"""What partners tell us through their page."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.integrations.models import Partner
from apps.sla.models import Expectation


class Reply(models.Model):
    """A partner's answer to something we expect: "we sent it"."""

    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="replies")
    expectation = models.ForeignKey(Expectation, on_delete=models.CASCADE, related_name="replies")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()
    text = models.TextField(max_length=2000)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.partner}: {self.text[:60]}"
