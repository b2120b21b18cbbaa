"""The Prometheus endpoint of the stack, and figures that lie in the files of lanes."""
