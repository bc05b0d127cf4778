"""The command line: parsers, and thin commands that call the other packages."""
