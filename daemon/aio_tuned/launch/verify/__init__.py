"""`aio-tuned verify`: a consumer's own I/O with its default and with the exported settings."""
