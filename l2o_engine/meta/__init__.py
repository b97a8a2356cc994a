"""What meta-training is: the experiment, its objective, episode and meta-optimizer, and what is learned."""
