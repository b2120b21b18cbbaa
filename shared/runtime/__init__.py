"""Ask the host: end tasks, watch lives of processes, cover Linux and macOS, crash at points for tests."""
