"""Celery, and when Beat calls the relay."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project", broker=os.environ.get("REDIS_URL", "redis://localhost"))
app.conf.update(
    # A relay that runs into the next one finds the cursor taken and returns. Tasks that no worker had time for are not
    # piled up, but live for longer than a busy machine takes to fetch one: else none would ever run there.
    beat_schedule={
        "relay": {"task": "shop.tasks.relay", "schedule": 1.0, "options": {"expires": 10.0}},
        "upkeep": {"task": "shop.tasks.upkeep", "schedule": 3600.0},
    },
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
app.autodiscover_tasks(["shop"])
