"""python manage.py migrate_event_log"""

import asyncio
import os
from typing import Any

from django.core.management.base import BaseCommand

from shared.migrations.migrate_clickhouse import migrate
from shared.settings import Settings


class Command(BaseCommand):
    """Make the tables in ClickHouse, `event_log` among them."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Safe to repeat."""
        settings = Settings(clickhouse_url=os.environ["TALLYBOOK_CLICKHOUSE_URL"])
        self.stdout.write("\n".join(asyncio.run(migrate(settings))))
