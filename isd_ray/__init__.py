"""Hybrid screens by inference set design."""
