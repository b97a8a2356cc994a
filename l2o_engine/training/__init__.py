"""Who goes through the meta-iterations: trainers and evaluation."""
