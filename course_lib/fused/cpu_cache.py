"""What the CPU's forms keep: what is computed once of a weight that stays as it is, and memory that large maps have freed."""
import ctypes
import sys
from functools import cache

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from ..weights import state_of, unchanged

LARGE = 2 ** 23                 # entries of a map: 32 MiB, from which on glibc asks the system for every block
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3         # of malloc.h


@cache
def keep_freed_memory():
    """Let the C library keep up to 1 GiB that is freed, where it is glibc. Otherwise the memory of a large map goes back to the
    system with it, and the next map's is cleared anew, page by page: a quarter of the time of an image of 1024 px."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for limit in M_TRIM_THRESHOLD, M_MMAP_THRESHOLD:
            mallopt(limit, 2 ** 30)


def frozen(weight):
    """Whether what is computed from a weight may be cached."""
    return not (weight.requires_grad or weight.is_inference() or torch.compiler.is_compiling())


CACHE = WeakTensorKeyDictionary()      # weight: (its state, {function: what it computes of the weight})


def cached(weight, compute):
    """compute(weight), of a frozen weight computed again only when it has changed, and forgotten with it."""
    if not frozen(weight):
        return compute(weight)
    state, found = CACHE.get(weight, (None, None))
    if not unchanged(state, weight):
        found = {}
        CACHE[weight] = state_of(weight), found
    if compute not in found:
        with torch.inference_mode(False), torch.no_grad():                           # may be used outside later
            found[compute] = compute(weight)
    return found[compute]


def half_energy(weight):
    """½ Σ_k w_ijk², [I, O]."""
    return (weight.square().sum(dim=(2, 3)).t() / 2).contiguous()


def scaled_filter(kernel):
    return kernel.flip([0, 1]) * 4


def channels_last(weight):
    return weight.contiguous(memory_format=torch.channels_last)
