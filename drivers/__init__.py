"""Browsers and the pages in them: sessions, page skills, capture, recipes. Nothing of the bus may come in."""
