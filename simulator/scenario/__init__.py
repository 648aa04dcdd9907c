"""A small language for stories that the phones play: `python -m simulator run FILE`."""
