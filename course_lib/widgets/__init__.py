"""Widgets that are figures first: without a kernel the picture remains, with one it follows the controls."""
from .live_run import Live, live
from .sliders import Explorer, explorer, explorers, redraw

__all__ = ["Explorer", "explorer", "explorers", "redraw", "Live", "live"]
