"""What optimizes: hand-designed rules and learned ones, each an (init, update) pair."""
