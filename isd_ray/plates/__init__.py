"""Plates of a campaign: where compounds go, what comes back, whether a plate is good, and which wells are hits."""
