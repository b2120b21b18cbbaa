"""Product events in ClickHouse: their table, their rows, and the gate that keeps each id once."""
