"""Editors that put exported settings into an existing configuration."""
