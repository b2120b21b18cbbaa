"""What a process asks of its host: tasks that end, lives of other processes, Linux and macOS, crash points for
tests."""
