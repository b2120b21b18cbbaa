"""Product events as they lie in ClickHouse: what every query reads from, and how it reaches into properties."""

from collections.abc import Sequence

#: The table, its topic in the log, and the name of its sink.
TABLE = TOPIC = "events"
#: What every query reads from: each event once at every moment, before and after merges. The table alone is not that.
EVENTS = "events FINAL"
#: The storage policy of a table with cold events, and its volumes. A table keeps those that it had: one that was made
#: without a policy is on `default`. The last is where cold events were before; they move on.
POLICY, HOT, COLD, FORMER = "hot_cold", "default", "cold", "former"


def property_of(keys: Sequence[str]) -> str:
    """The SQL of a property as JSON, '' where there is none; `keys` lead to it, outermost first, each of them SQL:
    `{key:String}`, never user text."""
    return f"JSONExtractRaw(properties, {', '.join(keys)})"
