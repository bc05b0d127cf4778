"""What the daemon tells other programs about itself."""
