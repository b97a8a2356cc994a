"""Who computes: the reference and the fast kernel."""
