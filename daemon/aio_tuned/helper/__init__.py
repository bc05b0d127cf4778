"""The client of the C helper `aio-sweep`."""
