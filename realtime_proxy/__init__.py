"""A GRIP-aware realtime reverse proxy."""

__version__ = "0.1.0"
