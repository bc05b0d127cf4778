"""The daemon's log messages as records of systemd's journal."""
