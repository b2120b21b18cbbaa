"""The record log in Apache Kafka."""
