"""Stored sweeps as one HTML page that needs nothing else: no script, no font, no network.

Charts are matplotlib's SVG, loaded only where they are drawn; all else is text.
"""
