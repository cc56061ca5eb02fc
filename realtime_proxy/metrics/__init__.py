"""What is counted, as plain integers."""
