"""The configuration: its keys, their parsers, and which drives are tuned."""
