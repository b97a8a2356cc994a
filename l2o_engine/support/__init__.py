"""What every room uses: names for arrays, errors, whole files, wording."""
