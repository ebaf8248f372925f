"""How an answer comes to its result: what is computed while it runs."""
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import guard
from .cases import draw

CONVOLVED = ("The result is right, but you convolve with weights that contain the style, as in the exercise before. Scale the maps "
             "of x; the weight is the same for all images.")
BUILT = ("The result is right, but σ comes from weights that contain the style, s_i · w_ijk for each image. The style comes out of "
         "the sum over the kernel: Σ_ik (s_i w_ijk)² is Σ_i s_i² · Σ_k w_ijk², and Σ_k w_ijk² is one table [O, I] for all images.")


def weights_per_image(answer):
    """Whether an answer builds weights that contain the style, even one image at a time.

    The styles are NaN, and so is all that is computed from them. The sizes are such that nothing but weights has as many
    entries as a weight, or a multiple.
    """
    x, weight, style = draw(2, 7, 6, 6), draw(5, 7, 3, 3, seed=1), torch.full((2, 7), torch.nan, dtype=torch.float64)
    found = []

    class Inspection(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if function is torch.ops.aten.convolution.default and args[1].isnan().any():
                found.insert(0, CONVOLVED)
            elif isinstance(result, torch.Tensor) and result.isnan().any() and result.numel() % weight.numel() == 0:
                found.append(BUILT)
            return result

    def inspected():
        with Inspection():
            return answer(x, weight, style)

    guard.attempt(inspected, guard.SECONDS)
    if found:
        return "weights for each image", found[0]
