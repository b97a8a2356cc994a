"""The screens of the live view."""
