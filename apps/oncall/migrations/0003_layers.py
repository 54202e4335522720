"""Schedules get layers: the one rotation each had becomes its first layer."""

import datetime

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def rotations_to_layers(apps, schema_editor):
    Schedule = apps.get_model("oncall", "Schedule")
    Layer = apps.get_model("oncall", "Layer")
    LayerMember = apps.get_model("oncall", "LayerMember")
    ScheduleMember = apps.get_model("oncall", "ScheduleMember")
    shortest = datetime.timedelta(minutes=10)
    for schedule in Schedule.objects.select_related("team"):
        schedule.slug = schedule.team.slug
        schedule.save(update_fields=["slug"])
        layer = Layer.objects.create(
            schedule=schedule, starts_at=schedule.starts_at, shift_length=max(schedule.shift_length, shortest)
        )
        for member in ScheduleMember.objects.filter(schedule=schedule):
            LayerMember.objects.create(layer=layer, user_id=member.user_id, position=member.position)


class Migration(migrations.Migration):
    dependencies = [
        ("oncall", "0002_constraints"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(name="schedule", options={"ordering": ["team__name", "position", "name"]}),
        migrations.AddField("schedule", "slug", models.SlugField(default="", max_length=64), preserve_default=False),
        migrations.AddField("schedule", "position", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("schedule", "country", models.CharField(blank=True, max_length=2)),
        migrations.AddField("schedule", "subdivision", models.CharField(blank=True, max_length=16)),
        migrations.AddField("schedule", "feed_version", models.PositiveIntegerField(default=1)),
        migrations.AddField(
            "schedule",
            "mail_handover",
            models.BooleanField(default=False, help_text="Mail the handover page to who comes on call"),
        ),
        migrations.AddField("override", "reason", models.CharField(blank=True, max_length=200)),
        migrations.AddField("override", "source", models.CharField(blank=True, max_length=8)),
        migrations.AddField("override", "source_name", models.CharField(blank=True, max_length=200)),
        migrations.AddField("override", "author_name", models.CharField(blank=True, max_length=200)),
        migrations.CreateModel(
            name="Layer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("time_zone", models.CharField(blank=True, help_text="Empty: the schedule's", max_length=64)),
                ("starts_at", models.DateTimeField()),
                ("shift_length", models.DurationField()),
                ("restrictions", models.JSONField(blank=True, default=list)),
                (
                    "holidays",
                    models.CharField(
                        choices=[
                            ("usual", "Like other days"),
                            ("never", "Not on public holidays"),
                            ("only", "Only on public holidays"),
                        ],
                        default="usual",
                        max_length=8,
                    ),
                ),
                ("active_from", models.DateTimeField(blank=True, null=True)),
                ("active_until", models.DateTimeField(blank=True, null=True)),
                (
                    "schedule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="layers", to="oncall.schedule"
                    ),
                ),
            ],
            options={"ordering": ["position", "id"]},
        ),
        migrations.CreateModel(
            name="LayerMember",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "layer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="members", to="oncall.layer"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"ordering": ["position"]},
        ),
        migrations.RunPython(rotations_to_layers, migrations.RunPython.noop),
    ]
