"""Which page views are made: their profile, their faults, their modes and their partitions."""
