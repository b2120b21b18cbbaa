"""List the pipelines as the settings want them."""

from aggregator.sink import event_blocks, hits, page_views, web_items
from aggregator.sink.batch_policy import Policy
from aggregator.sink.pipelines import Pipeline, alone, spliced
from aggregator.sink.repeated_events import repeats
from shared.collect.web_item import TOPIC as WEB_TOPIC
from shared.collect.web_item import WebItem
from shared.events.rows import COLUMNS, rows_in
from shared.events.table import TABLE, TOPIC
from shared.hit import COLUMNS as HIT_COLUMNS
from shared.hit import TOPIC as HITS_TOPIC
from shared.hit import is_packed
from shared.settings import Settings

HITS = Pipeline(
    HITS_TOPIC,
    "tracker_events",
    1,
    hits.rows,
    form="RowBinary",
    columns=HIT_COLUMNS,
    text_transform=hits.text_rows,
    is_packed=is_packed,
    shown=hits.shown,
)
EVENTS = Pipeline(
    TOPIC,
    TABLE,
    1,
    event_blocks.rows,
    sift=event_blocks.sifted,
    places=event_blocks.places,
    day="event_date",
    form="RowBinary",
    columns=COLUMNS,
    rows_in=rows_in,
)
PAGE_VIEWS = Pipeline(
    "page_views",
    "page_views_raw",
    2,
    alone(page_views.row),
    page_views.REASONS,
    day="event_date",
    form="RowBinary",
    columns=page_views.COLUMNS,
    # The views group their rows already: merging them once more before they are written is a tenth of an insert.
    settings={"optimize_on_insert": 0},
)
WEB = Pipeline(WEB_TOPIC, "web_items", 1, spliced(WebItem), repeats=web_items.repeats)
PIPELINES = (HITS, EVENTS, PAGE_VIEWS, WEB)


def configured(settings: Settings) -> list[tuple[Pipeline, Policy]]:
    """Return each pipeline with its batch policy."""
    views = PAGE_VIEWS._replace(
        delivery=settings.pages_delivery, repeats=repeats if settings.pages_drop_repeats else None
    )
    usual = Policy("hybrid", settings.sink_rows, settings.sink_wait_s)
    return [
        (HITS, usual),
        (EVENTS, usual),
        (views, Policy(settings.pages_cut, settings.pages_batch, settings.sink_wait_s)),
        (WEB, usual),
    ]
