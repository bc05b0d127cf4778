"""The data types that the packages exchange; they import no other package, and units are in the names."""
