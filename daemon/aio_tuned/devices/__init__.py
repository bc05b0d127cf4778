"""What a drive is, how it is used, and whether it may be swept."""
