"""What benchmarks share: servers, clients, clocks of processors, ratios."""
