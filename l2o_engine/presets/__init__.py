"""The file format of experiments."""
