"""Every pipeline there is, as the settings want it."""

from aggregator import page_views
from aggregator.pipelines import HITS, Events, Pipeline, no_line
from aggregator.policy import Policy
from aggregator.repeats import repeats
from shared.events import TABLE, TOPIC
from shared.settings import Settings

PAGE_VIEWS = Pipeline(
    "page_views",
    "page_views_raw",
    2,
    page_views.row,
    page_views.REASONS,
    day="event_date",
    form="RowBinary",
    columns=page_views.COLUMNS,
    # The views group their rows already: merging them once more before they are written is a tenth of an insert.
    settings={"optimize_on_insert": 0},
)
EVENTS = Events(TOPIC, TABLE, 1, no_line, day="event_date")
PIPELINES = (HITS, EVENTS, PAGE_VIEWS)


def configured(settings: Settings) -> list[tuple[Pipeline, Policy]]:
    """Each pipeline, and when its batches are cut."""
    views = PAGE_VIEWS._replace(
        delivery=settings.pages_delivery, repeats=repeats if settings.pages_drop_repeats else None
    )
    usual = Policy("hybrid", settings.sink_rows, settings.sink_wait_s)
    return [
        (HITS, usual),
        (EVENTS, usual),
        (views, Policy(settings.pages_cut, settings.pages_batch, settings.pages_wait_s)),
    ]
