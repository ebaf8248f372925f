"""How close a generator comes to its data set, and how smooth it is. `python -m course_lib.metrics --help` is the command."""
from .distances import frechet_distance, inside, kernel_distance, kid, kid_interval, moments, precision_recall, radii
from .evaluation import METRICS, evaluate, table
from .generators import attribute_distances, blur, blur_curve, compare, features, frechet, generated, rendered, report
from .linear_separability import conditional_entropy, judge_classifier, separability
from .path_length import path_lengths, perceptual_path_length, trimmed_mean
from .perceptual import lpips_distance, oracle_distance
from .ssim import mean_ms_ssim, ms_ssim
from .swd import sliced_wasserstein

__all__ = ["METRICS", "attribute_distances", "blur", "blur_curve", "compare", "conditional_entropy", "evaluate", "features",
           "frechet", "frechet_distance", "generated", "inside", "judge_classifier", "kernel_distance", "kid",
           "kid_interval",
           "lpips_distance", "mean_ms_ssim", "moments", "ms_ssim", "oracle_distance", "path_lengths", "perceptual_path_length",
           "precision_recall", "radii", "rendered", "report", "separability", "sliced_wasserstein", "table", "trimmed_mean"]
