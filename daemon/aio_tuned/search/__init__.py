"""The search for the best setting: pure functions whose random order comes from a seed."""
