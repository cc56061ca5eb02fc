"""The embedded demo backend and its page; it also answers for Pushpin's `test` target."""
