"""Segments: the filter language of statistics, from its text to a condition for ClickHouse."""
