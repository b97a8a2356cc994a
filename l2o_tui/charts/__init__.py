"""The charts in the terminal: ``layout`` decides, ``drawing`` draws with plotext, ``widgets`` are the screen's."""
