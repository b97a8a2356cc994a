"""The front ends of the terminal laboratory for learned optimizers: commands, headless output and the live screen."""
