"""Stored sweeps as one HTML page without scripts, fonts or network access.

Charts are SVG by matplotlib, which is loaded only when they are drawn; all else is text.
"""
