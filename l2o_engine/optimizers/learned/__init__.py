"""Learned optimizers: a network, what it sees, what its output means."""
