"""The facts and decisions that travel between the packages; imports nothing of ours, units are in the names."""
