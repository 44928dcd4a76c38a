"""The target library on disk, labels, and the hybrid screen."""
