"""Celery, and when Beat calls the relay."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project", broker=os.environ.get("REDIS_URL", "redis://localhost"))
app.conf.update(
    # A relay that runs into the next one finds the cursor taken and returns.
    beat_schedule={
        "relay": {"task": "shop.tasks.relay", "schedule": 1.0, "options": {"expires": 1.0}},
        "upkeep": {"task": "shop.tasks.upkeep", "schedule": 3600.0},
    },
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
app.autodiscover_tasks(["shop"])
