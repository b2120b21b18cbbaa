"""Serve the metrics of the stack: the endpoint, and the figures in lane files."""
