"""Report what a process does: metrics, logging, Sentry."""
