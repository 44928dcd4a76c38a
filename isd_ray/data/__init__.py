"""Files: sources of compounds, the target library on disk, labels."""
