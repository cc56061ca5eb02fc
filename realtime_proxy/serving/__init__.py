"""The client side: a connection, its exchanges, and what they become when held."""
