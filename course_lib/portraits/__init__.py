"""Portraits, the course's data set: head-and-shoulder portraits with known attributes, drawn in plain PyTorch."""

from .captions import caption
from .dataset import batches
from .renderer import noise_std, render
from .sampling import identity, same_person, sample_attributes, sample_noise
from .schema import ATTRIBUTES, IDENTITY, VERSION, Attribute, attributes, canonical, check, index, table
from .sheets import contact_sheet, sweep_sheet
from .words import neighbours

__all__ = ["ATTRIBUTES", "IDENTITY", "VERSION", "Attribute", "attributes", "batches", "canonical", "caption", "check",
           "contact_sheet", "identity", "index", "neighbours", "noise_std", "render", "same_person", "sample_attributes",
           "sample_noise", "sweep_sheet", "table"]
