"""Where what is counted leaves the house: the statistics socket and the metrics port."""
