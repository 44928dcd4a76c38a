"""Building a target library: source files in, blocks of features out, every record accounted for."""
