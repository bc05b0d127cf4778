"""What nodes with equal drives tell each other: a few sweeps for each class of hardware in place of one per drive."""
