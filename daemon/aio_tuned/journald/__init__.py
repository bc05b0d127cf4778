"""The daemon's messages as records of systemd's journal."""
