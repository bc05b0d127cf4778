"""Sweeps and profiles for people."""
