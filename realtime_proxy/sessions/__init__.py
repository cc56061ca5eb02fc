"""One machine per kind of held client: values in, effects out, time as an argument."""
