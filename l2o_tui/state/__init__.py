"""What the screens know: the open run, its feed, keys, preferences, themes."""
