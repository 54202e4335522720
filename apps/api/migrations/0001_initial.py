from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name='IdempotentAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('caller', models.CharField(help_text='Kind and number of the person or token', max_length=40)),
                ('key', models.CharField(max_length=200)),
                ('digest', models.CharField(help_text='SHA-256 of method, address and body', max_length=64)),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('body', models.JSONField(null=True)),
                ('at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['at'], name='idempotent_at')],
                'constraints': [models.UniqueConstraint(fields=('caller', 'key'), name='idempotent_once')],
            },
        ),
    ]
