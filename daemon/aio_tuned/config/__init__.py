"""The configuration: its keys, their parsers, and the rules for which drives are tuned."""
