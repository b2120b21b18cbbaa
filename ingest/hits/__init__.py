"""Routes that count hits of trackers, and the record that a hit becomes."""
