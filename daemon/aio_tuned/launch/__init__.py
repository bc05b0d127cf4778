"""Commands that start, examine or check the programs that consume the settings."""
