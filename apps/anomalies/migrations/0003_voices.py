"""What detectors say, what people answer, and what is known beforehand."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0002_causes'),
        ('flows', '0006_conflicts'),
        ('incidents', '0005_causes'),
        ('integrations', '0005_calendar_author'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='VoiceBudget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pages', models.PositiveIntegerField(default=3)),
                ('tasks', models.PositiveIntegerField(default=20)),
                ('changed_at', models.DateTimeField()),
                ('changed_by_name', models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name='KnownSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('expected', 'Expected'), ('outage', 'Confirmed outage'), ('peak', 'Peak')], max_length=16)),
                ('event_type', models.CharField(blank=True, max_length=64)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('factor', models.FloatField(blank=True, null=True)),
                ('name', models.CharField(max_length=200)),
                ('author_name', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
                ('integration', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.integration')),
                ('partner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.partner')),
            ],
            options={
                'ordering': ['-starts_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='Anomaly',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('detector', models.CharField(max_length=32)),
                ('key', models.UUIDField()),
                ('stream', models.CharField(max_length=200)),
                ('tier', models.CharField(choices=[('watch', 'Watch'), ('task', 'Task'), ('page', 'Page')], max_length=8)),
                ('title', models.CharField(max_length=300)),
                ('sentence', models.TextField()),
                ('score', models.FloatField()),
                ('threshold', models.FloatField()),
                ('evidence', models.JSONField()),
                ('began_at', models.DateTimeField()),
                ('raised_at', models.DateTimeField()),
                ('cleared_at', models.DateTimeField(null=True)),
                ('suppressed', models.CharField(blank=True, max_length=32)),
                ('audited', models.BooleanField(default=False)),
                ('verdict', models.CharField(blank=True, choices=[('real', 'Real'), ('expected', 'Expected'), ('not_useful', 'Not useful'), ('fixed', 'Fixed by us')], max_length=16)),
                ('verdict_at', models.DateTimeField(null=True)),
                ('finding', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='incidents.finding')),
                ('flow', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='flows.flow')),
                ('integration', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.integration')),
                ('partner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.partner')),
                ('verdict_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('span', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='anomalies.knownspan')),
            ],
            options={
                'verbose_name_plural': 'anomalies',
                'ordering': ['-raised_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='LeadLaw',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('flow_slug', models.SlugField(max_length=64)),
                ('start', models.CharField(max_length=64)),
                ('end', models.CharField(max_length=64)),
                ('fitted_at', models.DateTimeField()),
                ('state', models.JSONField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('flow_slug', 'start', 'end'), name='lead_law_stage')],
            },
        ),
        migrations.CreateModel(
            name='LearnedDeadline',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('milestone', models.CharField(max_length=64)),
                ('start_at', models.DateTimeField()),
                ('watch_at', models.DateTimeField()),
                ('task_at', models.DateTimeField()),
                ('refreshed_at', models.DateTimeField()),
                ('evidence', models.JSONField()),
                ('told_at', models.DateTimeField(null=True)),
                ('flow', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='learned_deadlines', to='flows.flow')),
            ],
        ),
        migrations.CreateModel(
            name='MetricPoint',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('metric', models.CharField(max_length=32)),
                ('at', models.DateTimeField()),
                ('value', models.FloatField()),
                ('score', models.FloatField(null=True)),
                ('integration', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.integration')),
            ],
        ),
        migrations.CreateModel(
            name='MetricState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('detector', models.CharField(max_length=32)),
                ('key', models.CharField(max_length=200)),
                ('at', models.DateTimeField()),
                ('state', models.JSONField()),
                ('integration', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.integration')),
            ],
        ),
        migrations.CreateModel(
            name='DetectorSwitch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('detector', models.CharField(max_length=32)),
                ('enabled', models.BooleanField(default=True)),
                ('changed_at', models.DateTimeField()),
                ('changed_by_name', models.CharField(blank=True, max_length=200)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('partner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.partner')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('detector', 'partner'), name='switch_one', nulls_distinct=False)],
            },
        ),
        migrations.AddIndex(
            model_name='knownspan',
            index=models.Index(condition=models.Q(('undone_at__isnull', True)), fields=['ends_at'], name='span_ends'),
        ),
        migrations.AddConstraint(
            model_name='knownspan',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='span_ends_after_start'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['-raised_at', '-id'], name='anomaly_newest'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['detector', 'stream', '-raised_at'], name='anomaly_stream'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['partner', '-raised_at'], name='anomaly_partner'),
        ),
        migrations.AddConstraint(
            model_name='anomaly',
            constraint=models.UniqueConstraint(condition=models.Q(('cleared_at__isnull', True)), fields=('key',), name='anomaly_one_open'),
        ),
        migrations.AddIndex(
            model_name='learneddeadline',
            index=models.Index(condition=models.Q(('told_at__isnull', True)), fields=['task_at'], name='learned_deadline_due'),
        ),
        migrations.AddConstraint(
            model_name='learneddeadline',
            constraint=models.UniqueConstraint(fields=('flow', 'milestone'), name='learned_deadline_one'),
        ),
        migrations.AddConstraint(
            model_name='metricpoint',
            constraint=models.UniqueConstraint(fields=('integration', 'metric', 'at'), name='metric_point_one'),
        ),
        migrations.AddConstraint(
            model_name='metricstate',
            constraint=models.UniqueConstraint(fields=('detector', 'integration', 'key'), name='metric_state_one', nulls_distinct=False),
        ),
    ]
