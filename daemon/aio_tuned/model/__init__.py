"""The data types that the packages exchange, with units in the names of fields; they import no other package."""
