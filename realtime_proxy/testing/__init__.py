"""Fakes for tests of this package and of handlers."""
