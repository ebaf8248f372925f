"""Portraits: the world of the course. Head-and-shoulder portraits with ground truth, drawn in plain PyTorch."""

from .attributes import ATTRIBUTES, IDENTITY, Attribute, attributes, canonical, check, index
from .captions import caption
from .dataset import batches
from .renderer import render
from .sampling import identity, same_person, sample_attributes, sample_noise
from .sheets import contact_sheet, sweep_sheet

VERSION = "1"

__all__ = ["ATTRIBUTES", "IDENTITY", "VERSION", "Attribute", "attributes", "batches", "canonical", "caption", "check",
           "contact_sheet", "identity", "index", "render", "same_person", "sample_attributes", "sample_noise",
           "sweep_sheet"]
