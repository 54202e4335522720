from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("flows", "0005_partner_opened")]

    operations = [
        # conflicts are rare; their page must not look through every event of three months for them
        migrations.RunSQL(
            "CREATE INDEX flows_event_conflict ON flows_event (received_at DESC, id DESC) WHERE flags >= 2",
            "DROP INDEX flows_event_conflict",
        ),
    ]
