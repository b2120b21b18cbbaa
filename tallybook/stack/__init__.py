"""The embedded stack: real servers and services as children of one supervisor, on one data folder."""
