"""Putting one worker together, starting and stopping it. The only place that knows everyone."""
