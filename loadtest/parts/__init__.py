"""The parts of `python -m loadtest.bench`."""
