"""Profiles: their text, what the administrator changes, and what to publish."""
