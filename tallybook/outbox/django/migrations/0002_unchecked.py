"""Brings an outbox forward that an earlier version made, by the same SQL, which bears a repetition."""

from django.db import migrations

from tallybook.outbox import schema


class Migration(migrations.Migration):  # type: ignore[misc]
    """Nothing to undo: the one before drops it all."""

    dependencies = (("tallybook_outbox", "0001_outbox"),)
    operations = (migrations.RunSQL(sql=schema(), reverse_sql=migrations.RunSQL.noop),)
