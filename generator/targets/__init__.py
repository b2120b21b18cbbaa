"""Where page views go: HTTP, Redis Streams or Kafka, and how their senders wait."""
