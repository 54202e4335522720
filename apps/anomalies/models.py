"""State of the detectors."""

from __future__ import annotations

from django.db import models

from apps.anomalies.causes_models import CauseGroup as CauseGroup
from apps.anomalies.causes_models import CauseMember as CauseMember
from apps.anomalies.causes_models import FlowRisk as FlowRisk
from apps.anomalies.causes_models import IncidentPriority as IncidentPriority
from apps.anomalies.causes_models import ReconciliationRule as ReconciliationRule
from apps.anomalies.causes_models import ReconciliationTally as ReconciliationTally
from apps.anomalies.causes_models import RiskModel as RiskModel
from apps.integrations.models import Integration


class FeedProfile(models.Model):
    """What is usual on one feed: one integration, one event type ('' = all). state is owned by the detector `feed`."""

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="feed_profiles")
    event_type = models.CharField(max_length=64, blank=True)
    fitted_at = models.DateTimeField()
    state = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "event_type"], name="feed_profile_unique")]

    def __str__(self) -> str:
        return f"{self.integration_id} {self.event_type or 'all'}"


class FeedCount(models.Model):
    """Events per integration, type and hour of happened_at; written in the transaction that records them."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_type = models.CharField(max_length=64)
    hour = models.DateTimeField()
    n = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "event_type", "hour"], name="feed_count_cell")]
