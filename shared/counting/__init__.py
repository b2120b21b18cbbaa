"""Clicks on their way: lanes in shared memory, the drain into Redis, and exact totals at any moment."""
