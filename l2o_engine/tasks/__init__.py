"""What is optimized: families of tasks, the optimizees."""
