"""What does not have to be asked for: metrics, guarantees, the grammar of segments, and prompts."""

from typing import Any

from msgspec import Struct

#: What `list_metrics` returns. Longest ranges are those of the service.
METRICS: list[dict[str, str]] = [
    {
        "metric": "clicks of banners",
        "unit": "clicks",
        "tool": "series (banners, all_banners), top (banners), compare",
        "fresh": "at once; a bucket with `final: false` may still grow",
        "exact": "yes: each click that was acknowledged counts once",
        "longest": "31 days by minute, 366 by hour, 3,660 by day; all banners together 2, 31 and 366",
        "scope": "stats:read",
    },
    {
        "metric": "impressions of banners (served, viewable) and CTR (clicks / viewable, with its interval of 95 %)",
        "unit": "impressions; a share",
        "tool": "series (banners, metrics), top (banners, metric), compare",
        "fresh": "at once; a bucket with `final: false` may still grow",
        "exact": "yes; CTR is null where nothing was viewable, its interval also where clicks exceed impressions",
        "longest": "as clicks",
        "scope": "stats:read",
    },
    {
        "metric": "hits of trackers, their users and bots",
        "unit": "hits; users",
        "tool": "series (tracker), top (trackers), compare",
        "fresh": "seconds: data_quality says until when the table tracker_events is complete",
        "exact": "yes; users cannot be added over buckets",
        "longest": "366 days",
        "scope": "stats:read",
    },
    {
        "metric": "product events and their users",
        "unit": "events; users",
        "tool": "series (events), top (events), compare",
        "fresh": "seconds: data_quality says until when the table events is complete",
        "exact": "yes: each event id counts once for ever; users cannot be added over buckets",
        "longest": "2 days by minute, 62 by hour, 1,098 by day",
        "scope": "stats:read",
    },
    {
        "metric": "daily active users and retention",
        "unit": "users",
        "tool": "dau, retention, compare",
        "fresh": "seconds, as product events",
        "exact": "yes, unless approx=true: then `error` bounds the difference",
        "longest": "1,098 days; 60 windows",
        "scope": "stats:read",
    },
    {
        "metric": "page views of the topic page_views: views, users, duration, bounces",
        "unit": "views; users; milliseconds; a share",
        "tool": "pages, compare (pages)",
        "fresh": "seconds; late views are added to their minute",
        "exact": "views yes; users cannot be added over buckets",
        "longest": "8 days by minute (kept for 7), 366 by hour, 3,660 by day",
        "scope": "stats:read",
    },
    {
        "metric": "views, visitors and visits of a web site",
        "unit": "views; visitors; visits",
        "tool": "pages (site), compare (site)",
        "fresh": "seconds: data_quality says until when the table web is complete",
        "exact": "yes; visitors of a single day alone, visitorDays of longer ranges",
        "longest": "366 days",
        "scope": "stats:read",
    },
    {
        "metric": "event logs of applications",
        "unit": "entries",
        "tool": "logs_search",
        "fresh": "seconds: data_quality says until when the table event_log is complete",
        "exact": "yes: each entry once",
        "longest": "31 days",
        "scope": "logs:read",
    },
    {
        "metric": "state, freshness and books of the service",
        "unit": "",
        "tool": "data_quality",
        "fresh": "at once",
        "exact": "`difference` is 0, or the books are wrong",
        "longest": "",
        "scope": "none; stats:read for freshness, admin for books and dead letters",
    },
]

_GUARANTEES = """\
- Clicks and impressions that were acknowledged count once, also through crashes. Reads contain them at once.
- A bucket of clicks with `final: false` may still grow. `asOf` is the moment at which an answer was true.
- `partial: true` marks an answer without what is in the stores named by `missing`: it is a lower bound.
- Events, hits, page views and log entries are rows, each once. They are in the answers within seconds.
  `freshUntil` of a table is the moment up to which it is complete: a bucket that ends later may still grow.
- Different users cannot be added: who came on two days is one user of both.
- Days are those of the time zone `tz`, which is UTC where none was given. A date as the end of a range is in it.
- An answer of these tools with `complete: false` says in `left_out` what it lacks. Without that it lacks nothing.
"""

_SEGMENTS = """\
A segment is a condition on events: event_type:purchase and (properties.country:UA or properties.amount>=100)

fields     event_type, user_id, and properties. with a path of up to eight keys: properties.cart.total
:  =  !=   equal, not equal. 10 finds 10, 10.0 and "10"; "10" in quotes finds a text only
< <= > >=  numbers in properties
and or not ( )   not binds most, then and, then or
quotes     needed for values with blanks, quotes, parentheses or : = < > ! \\ in them: user_id:"test 1"

A property that is not there equals nothing and is not less than anything, so properties.country!=UA is true without it.
At most 1,000 characters, 50 comparisons, 20 deep, eight different paths into properties.
`filter` of logs_search has the same grammar over event_type, environment, event_id, metadata_version,
event_context.<key> and context.<key>. `filter` of pages has it over host, page, referrer, source, medium, campaign, ad,
country, device, browser and os.
"""


class Page(Struct, frozen=True):
    """A resource: its title and its text."""

    title: str
    text: str


def pages() -> dict[str, Page]:
    """Return the resources by address."""
    listed = "\n".join("; ".join(f"{name}: {one}" for name, one in metric.items() if one) for metric in METRICS)
    return {
        "tallybook://metrics": Page("What is counted", listed),
        "tallybook://guarantees": Page("What the numbers promise", _GUARANTEES),
        "tallybook://segments": Page("The grammar of segments and filters", _SEGMENTS),
    }


class Prompt(Struct, frozen=True):
    """A prompt: what it is for, what it takes, and its text with the arguments in braces."""

    description: str
    arguments: dict[str, str]
    text: str


PROMPTS: dict[str, Prompt] = {
    "weekly_report": Prompt(
        "Report the last seven days against the seven before.",
        {},
        "Report the last seven days. Use data_quality first and say if anything is incomplete. Then use compare for "
        "all_banners, events and dau, and top for banners and events. Name the ranges and the time zone. Quote numbers "
        "as the tools return them, do not add up users, and say which buckets are not final.",
    ),
    "explain_change": Prompt(
        "Look for the reason of a change of a metric on a day.",
        {"metric": "What changed, as in list_metrics", "day": "The day, as 2026-03-01"},
        "The metric {metric} changed on {day}. Use data_quality first: an outage or missing records explain much. Then "
        "compare that day with the same weekday a week before, and part it by banner, event type, page or segment with "
        "top and series until one part explains the change. Tell facts from guesses. Give the calls that show each.",
    ),
    "check_data_quality": Prompt(
        "Say how far the numbers can be trusted now.",
        {},
        "Use data_quality. Say which stores are degraded, until when each table is complete, if every `difference` "
        "is 0, and how many dead letters wait. Say in one line which numbers can be trusted and which cannot yet.",
    ),
}


def text_of(prompt: Prompt, arguments: dict[str, Any]) -> str:
    """Return the text of a prompt. Raises KeyError for an argument that is missing."""
    return prompt.text.format_map({name: str(arguments[name])[:200] for name in prompt.arguments})
