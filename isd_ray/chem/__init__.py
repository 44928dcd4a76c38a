"""Molecules: the only place that imports rdkit."""
