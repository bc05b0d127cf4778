"""Hooks inside a framework's own process (docs/how-to/in-process.md); with the standard library alone."""
