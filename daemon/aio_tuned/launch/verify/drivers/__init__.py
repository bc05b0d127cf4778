"""Programs for the consumers' interpreters; they import the standard library and the consumer's package alone."""
