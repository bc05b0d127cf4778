"""The daemon's status, metrics and node features, as files for other programs."""
