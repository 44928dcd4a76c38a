"""A file that nobody has described yet: what its columns hold, and which of them is what."""
