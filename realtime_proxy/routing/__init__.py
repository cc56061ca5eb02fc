"""Which route a request belongs to."""
