"""Make the outbox in Postgres databases, by the same SQL as everywhere. Other databases stay as they are."""

from typing import Any

from django.db import migrations

from tallybook_sdk.outbox import schema


class _OnPostgres(migrations.RunSQL):  # type: ignore[misc]
    """Run SQL on Postgres alone: a project may have other databases beside it."""

    def _run_sql(self, schema_editor: Any, sqls: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super()._run_sql(schema_editor, sqls)


class Migration(migrations.Migration):  # type: ignore[misc]
    """Make the outbox. The reverse drops events that wait for the relay."""

    dependencies = ()
    operations = (
        _OnPostgres(
            sql=schema(),
            reverse_sql="DROP TABLE tallybook_outbox, tallybook_outbox_cursor, tallybook_outbox_dead;"
            " DROP FUNCTION tallybook_outbox_make_partition; DROP SEQUENCE tallybook_outbox_id;",
        ),
    )
