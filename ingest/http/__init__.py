"""Share what all routes need.

openapi           one table of operations makes the routes and the OpenAPI document
json_answers      answers as JSON
problems          errors as `application/problem+json`
query, cursor, idempotency_key, json_array   read and check parts of a request
body_limit        read and bound bodies before handlers run
rate_limits       limits per client and per key
client_address, cors   the client's address, and the pages that may read answers
access_log        one line, count and duration per request
health, operations   liveness, readiness and accounting
"""
