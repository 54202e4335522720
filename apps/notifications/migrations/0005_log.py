"""The log of messages is read newest first, by channel, and by what was given up; built while messages go on being sent."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("notifications", "0004_escalation")]
    operations = [
        AddIndexConcurrently("delivery", models.Index(fields=["-created_at", "-id"], name="delivery_log")),
        AddIndexConcurrently("delivery", models.Index(fields=["channel", "-created_at"], name="delivery_channel")),
        AddIndexConcurrently(
            "delivery",
            models.Index(condition=models.Q(("state", "dead")), fields=["channel", "id"], name="delivery_dead"),
        ),
    ]
