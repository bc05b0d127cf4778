"""The process that sweeps for the daemon, and its throttle."""
