"""What users do in a load test with Locust, how many come, and when it has failed."""
