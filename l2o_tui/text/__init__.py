"""What is printed: numbers, tables, reports, and the front end without a screen."""
