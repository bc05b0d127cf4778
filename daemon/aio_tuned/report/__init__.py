"""Sweeps and profiles presented to people, on a terminal and as an HTML page."""
