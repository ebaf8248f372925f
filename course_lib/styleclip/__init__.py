"""StyleCLIP (Patashnik et al. 2021, arXiv:2103.17249): three ways to edit a generated image with a sentence."""
from .edits import Edit
from .global_directions import (Statistics, channel_statistics, direction_between, edit, global_direction, load_statistics,
                                mean_change, relevance, shifted, text_direction, thresholded)
from .losses import clip_distance, hinge, identity_loss, latent_distance, optimization_loss, rest_change
from .mapper import LatentMapper, fit, fitting, map_latents, mapper_loss, split_levels
from .optimization import optimize, optimizing
from .strength import best_edit, enough, seen

__all__ = ["Edit", "LatentMapper", "Statistics", "best_edit", "channel_statistics", "clip_distance", "direction_between",
           "edit", "enough", "fit", "fitting", "global_direction", "hinge", "identity_loss", "latent_distance",
           "load_statistics", "map_latents", "mapper_loss", "mean_change", "optimization_loss", "optimize", "optimizing",
           "relevance", "rest_change", "seen", "shifted", "split_levels", "text_direction", "thresholded"]
