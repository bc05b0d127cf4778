"""The search for the best setting: pure, and seeded."""
