"""Widgets that are figures first: without a kernel the picture remains, with one it follows the controls."""
from .explorer import Explorer, explorer, explorers, redraw
from .live import Live, live

__all__ = ["Explorer", "explorer", "explorers", "redraw", "Live", "live"]
