"""The process that sweeps for the daemon."""
