"""How an answer comes to its result: what it calls while it runs."""
import torch

from . import guard
from .probes import normal


def weights_per_image(answer):
    """Whether a convolution of the answer has weights that depend on the style."""
    x, weight, style = normal(2, 4, 5, 5), normal(3, 4, 3, 3, seed=1), normal(2, 4, seed=2).requires_grad_()
    found = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.conv2d:
                kernel = args[1] if len(args) > 1 else (kwargs or {})["weight"]
                if kernel.requires_grad:
                    gradient, = torch.autograd.grad(kernel.sum(), style, retain_graph=True, allow_unused=True)
                    found.extend([] if gradient is None else [gradient])
            return function(*args, **(kwargs or {}))

    def watched():
        with Watch():
            return answer(x, weight, style)

    guard.attempt(watched, guard.SECONDS)
    if found:
        return "weights for each image", ("The result is right, but you convolve with weights that contain the style, as in "
                                          "the exercise before. Scale the maps of x; the weight is the same for all images.")
