"""One sweep of one target, from its facts to its profile."""
