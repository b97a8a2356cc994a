"""What is told of a run: rows, curves, events, health."""
