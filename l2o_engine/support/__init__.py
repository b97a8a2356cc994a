"""What every room uses: names for arrays, errors, whole files, words; settings, their registry, a state as a tree."""
