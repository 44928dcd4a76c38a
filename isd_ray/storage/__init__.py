"""Folders, files and object stores: how addresses are spelled, who reaches them, and how files are written."""
