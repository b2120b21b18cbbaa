"""Uploads of product events."""
