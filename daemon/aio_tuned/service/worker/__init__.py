"""The worker process, which runs one sweep for the daemon, and its throttle."""
