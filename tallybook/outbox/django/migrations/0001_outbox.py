"""Makes the outbox, by the same SQL as everywhere."""

from django.db import migrations

from tallybook.outbox import schema


class Migration(migrations.Migration):  # type: ignore[misc]
    """Undoing it drops what waits to be relayed."""

    dependencies = ()
    operations = (
        migrations.RunSQL(
            sql=schema(),
            reverse_sql="DROP TABLE tallybook_outbox, tallybook_outbox_cursor, tallybook_outbox_dead;"
            " DROP FUNCTION tallybook_outbox_make_partition; DROP SEQUENCE tallybook_outbox_id;",
        ),
    )
