"""One profile: its text and files, the administrator's overrides, siblings, and what to publish and sweep."""
