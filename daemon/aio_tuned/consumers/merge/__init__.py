"""Editors that put exported settings into an existing configuration: JSON, YAML and environment files."""
