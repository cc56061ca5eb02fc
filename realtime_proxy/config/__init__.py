"""The configuration file: its schema, its reader, and the way from Pushpin's files to it."""
