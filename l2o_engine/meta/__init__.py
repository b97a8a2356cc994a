"""What meta-training is: the experiment, its objective and meta-optimizer, and what is learned."""
