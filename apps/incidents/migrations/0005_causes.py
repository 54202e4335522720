"""What was raised before: its cause is its incident's, and the worst so far is the severity."""

from django.db import migrations

FILL = [
    "UPDATE incidents_incident SET worst = severity WHERE worst = ''",
    """UPDATE incidents_finding AS finding SET cause = incident.fingerprint
    FROM incidents_incident AS incident WHERE incident.id = finding.incident_id AND finding.cause IS NULL""",
]


class Migration(migrations.Migration):
    dependencies = [("incidents", "0004_desk")]
    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
