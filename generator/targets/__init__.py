"""Send page views to HTTP, Redis Streams or Kafka.

target     the sender of a URL
sender     the interface of senders
http       POST /events, POST /stats
streams    Redis Streams, as a record log
kafka      Kafka, by librdkafka
ways       one at a time, without waiting, or in batches
backoff    waits between retries"""
