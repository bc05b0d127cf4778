"""Files on disk: atomic writes, append-only logs, the profile store and the archive of sweeps."""
