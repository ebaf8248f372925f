"""Latents, and labels of class-conditional generators, as every measurement draws them."""
import torch
import torch.nn.functional as F

BATCH = 256             # images of 64 px that are made at once

def labels(G, n, c=None, rng=None):
    """Labels of n images for a class-conditional generator, [n, c_dim] on its device; None for any other generator.

    c: labels [n, c_dim], one row for all images, or the number of a class. Without c, the class of each image is drawn uniformly
    with rng, a torch.Generator on the CPU. Raises ValueError for labels of another shape, an unknown class, and labels for a
    generator that takes none.
    """
    size = getattr(G, "c_dim", 0)
    if c is None and not size:
        return None
    if not size:
        raise ValueError("this generator knows no classes, so it takes no labels; leave c (--class) out")
    if c is None:
        c = F.one_hot(torch.randint(size, [n], generator=rng), size)
    c = torch.as_tensor(c)
    if c.ndim == 0:
        if c.is_floating_point() or not 0 <= c < size:
            raise ValueError(f"there is no class {c.item()}; this generator's are 0 to {size - 1}")
        c = F.one_hot(c.long(), size)
    if c.shape not in ((size,), (1, size), (n, size)):
        raise ValueError(f"labels c have shape {list(c.shape)}; this generator takes [{n}, {size}], or one row [{size}] for all")
    if not c.isfinite().all():
        raise ValueError("the labels c hold NaN or infinity")
    return c.float().expand(n, size).to(device_of(G))


def draws(G, n, rng, c=None, batch=None):
    """The first n latents of a seed, or the next n of a torch.Generator on the CPU, in batches of `batch` (all at once without
    one).

    Yields z [b, z_dim] on G's device, and their labels (`labels`) as an argument for `G(z, **given)` or `G.mapping(z, **given)`.
    """
    rng = rng if isinstance(rng, torch.Generator) else torch.Generator().manual_seed(int(rng))
    z = torch.randn(n, G.z_dim, generator=rng)
    c = labels(G, n, c, rng)
    for start in range(0, n, batch or n):
        rows = slice(start, start + (batch or n))
        yield z[rows].to(device_of(G)), given(c, rows)


def given(c, rows=slice(None)):
    """Some rows of labels c [n, c_dim] as an argument, {"c": labels}; {} where c is None."""
    return {} if c is None else {"c": c[rows]}


def device_of(network):
    """The device of a network's parameters."""
    return next(network.parameters()).device


def batch_size(G):
    """How many images of a generator's resolution have as many pixels as BATCH of 64 px; at least 1, at most BATCH."""
    return max(1, min(BATCH, BATCH * 64 ** 2 // G.resolution ** 2))
