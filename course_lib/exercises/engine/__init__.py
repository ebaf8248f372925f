"""What an exercise is declared with. The other modules of this package judge an answer from the declaration."""
from . import inspection
from .cases import Case, Computed, case, draw
from .exercise import Exercise, wrong
from .model_check import PGGAN, STYLEGAN, ModelCheck, bars, curves, descend, four_portraits, latents, way_between

__all__ = ["Case", "Computed", "Exercise", "ModelCheck", "PGGAN", "STYLEGAN", "bars", "case", "curves", "descend", "draw",
           "four_portraits", "inspection", "latents", "way_between", "wrong"]
