"""What every test shares: how hypothesis runs here."""

from hypothesis import settings

# The same examples every time, so that a change is what makes a test fail; no deadlines, for machines differ.
settings.register_profile("l2o", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("l2o")
