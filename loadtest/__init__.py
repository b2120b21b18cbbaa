"""Load tests with Locust and the side-by-side benchmark with wrk: `make load` and `make bench`."""
