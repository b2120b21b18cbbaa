"""Tasks that count: run a worker with `celery -A tasks worker`, and `python tasks.py 17 9.5` to buy something.

    pip install tallybook-sdk "celery[redis]"
    export TALLYBOOK_URL=http://127.0.0.1:8080
    export CELERY_BROKER_URL=redis://127.0.0.1:6379/1

The client is made once, before the worker forks its children. Each child sends its own records, and what is left at its
end: after `--max-tasks-per-child`, and when the worker stops.
"""

import os
import sys

from celery import Celery

from tallybook_sdk import Client

app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])
tally = Client()


@app.task(acks_late=True, bind=True)
def buy(task, user: str, price: float, banner: int) -> None:
    """Record a purchase and the click that led to it. A task that Celery runs again records both under the same names.

    An event counts once for ever, a click with an id once in ten minutes.
    """
    tally.event("purchase", user, {"price": price}, id=task.request.id)
    tally.click(banner, id=task.request.id)


if __name__ == "__main__":
    buy.delay(sys.argv[1], float(sys.argv[2]), 42)
