"""The hot path: channels, their subscribers in groups of one wire form, and fan-out."""
