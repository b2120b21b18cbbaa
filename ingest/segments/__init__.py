"""Turn segments, the filter language of statistics, into conditions of ClickHouse."""
