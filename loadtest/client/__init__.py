"""The Python client of applications, measured beside others."""
