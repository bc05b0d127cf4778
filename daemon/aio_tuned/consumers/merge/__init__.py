"""Puts exported settings into a configuration that exists."""
