"""StyleCLIP (Patashnik et al. 2021, arXiv:2103.17249): three ways to edit a generated image with a sentence."""
from .common import Edit
from .global_directions import (
    Statistics,
    channel_statistics,
    direction_between,
    edit,
    global_direction,
    load_statistics,
    mean_change,
    relevance,
    shifted,
    text_direction,
    thresholded,
)
from .losses import clip_distance, hinge, identity_loss, latent_distance, optimization_loss, preservation_loss
from .mapper import LatentMapper, fit, fit_steps, map_latents, mapper_loss, split_levels
from .optimization import optimize, optimize_steps
from .selection import best_edit, embed_samples, search, similarity_target

__all__ = ["Edit", "LatentMapper", "Statistics", "best_edit", "channel_statistics", "clip_distance", "direction_between",
           "edit", "embed_samples", "fit", "fit_steps", "global_direction", "hinge", "identity_loss", "latent_distance",
           "load_statistics", "map_latents", "mapper_loss", "mean_change", "optimization_loss", "optimize", "optimize_steps",
           "preservation_loss", "relevance", "search", "shifted", "similarity_target", "split_levels",
           "text_direction", "thresholded"]
