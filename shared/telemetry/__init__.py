"""What a process says of itself: metrics, logging, Sentry."""
