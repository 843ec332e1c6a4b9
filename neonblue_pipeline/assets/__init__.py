"""The assets, one stage of the data's way per file."""
