"""The examination of a host: facts of /sys and /proc, a check for each, and the report."""
