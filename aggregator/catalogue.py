"""Every pipeline there is, as the settings want it."""

from aggregator import page_views
from aggregator.pipelines import HITS, Pipeline
from aggregator.policy import Policy
from aggregator.repeats import repeats
from shared.settings import Settings

PAGE_VIEWS = Pipeline("page_views", "page_views_raw", 1, page_views.row, page_views.REASONS)
PIPELINES = (HITS, PAGE_VIEWS)


def configured(settings: Settings) -> list[tuple[Pipeline, Policy]]:
    """Each pipeline, and when its batches are cut."""
    views = PAGE_VIEWS._replace(
        delivery=settings.pages_delivery, repeats=repeats if settings.pages_drop_repeats else None
    )
    return [
        (HITS, Policy("hybrid", settings.sink_rows, settings.sink_wait_s)),
        (views, Policy(settings.pages_cut, settings.pages_batch, settings.pages_wait_s)),
    ]
