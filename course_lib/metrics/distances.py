"""Distances between two sets of features: Fréchet distance, kernel distance, precision and recall."""
import torch

SUBSET, NEIGHBOURS = 1000, 3          # samples of one subset of `kid`; k of `precision_recall`


def moments(features, unbiased=False):
    """Mean [F] and covariance [F, F] of features [N, F] in float64. The covariance is divided by N, as in StyleGAN's own code for
    the FID, or if it is to be unbiased by N − 1, as in the packages clean-fid and torch-fidelity."""
    features = _checked(features, "features").double()
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - unbiased)


def frechet_distance(a, b):
    """Fréchet distance of two Gaussians (Heusel et al. 2017, eq. 6): |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½).

    a, b: features [N, F], or their `moments`. The trace of (Σ₁Σ₂)^½ is the sum of the singular values of Σ₁^½ Σ₂^½, which
    stays real and accurate when covariances are singular. The result has the square of the features' unit.
    """
    (mean_a, cov_a), (mean_b, cov_b) = (_moments_of(x, name) for x, name in ((a, "the first"), (b, "the second")))
    if mean_a.shape != mean_b.shape:
        raise ValueError(f"the first set has {len(mean_a)} features and the second {len(mean_b)}; "
                         "a distance needs the same features of both")
    overlap = torch.linalg.svdvals(_square_root(cov_a) @ _square_root(cov_b)).sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def kernel_distance(a, b):
    """Squared maximum mean discrepancy of features [N, F] and [M, F], unbiased (Bińkowski et al. 2018, eq. 4), kernel
    k(x, y) = (x·y / F + 1)³. Being unbiased, it may fall below 0 for sets of one distribution."""
    a, b = _pair(a, b)
    kernel = lambda x, y: (x @ y.T / a.shape[1] + 1) ** 3
    within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return (sum(within) - 2 * kernel(a, b).mean()).item()


def kid(real, generated, subsets=100, subset_size=SUBSET, seed=0):
    """Kernel inception distance: the mean `kernel_distance` over random subsets. Features [N, F] and [M, F]."""
    real, generated = _pair(real, generated)
    size = min(len(real), len(generated), subset_size)
    rng = torch.Generator().manual_seed(seed)
    draw = lambda x: x[torch.randperm(len(x), generator=rng)[:size].to(x.device)]
    return sum(kernel_distance(draw(generated), draw(real)) for _ in range(subsets)) / subsets


def kid_interval(real, generated, z=1.96):
    """The kernel inception distance over all pairs (`kernel_distance`) with its 95 % interval. Features [N, F] and [M, F].

    The interval is ± z standard errors by the jackknife: the spread of the values that leave out one image of either set (Efron and
    Stein 1981), which is on average at least that of the distance over new images. (The spread over random subsets, which the KID's
    paper reports, falls with the number of subsets, however few the images are.) → {"mean", "low", "high"}
    """
    real, generated = _pair(real, generated)
    n, m = len(real), len(generated)
    if min(n, m) < 3:
        raise ValueError(f"{min(n, m)} samples are too few for an interval; take at least 3")
    within_real, within_generated = (_kernel_sums(x, x) - ((x * x).sum(dim=1) / x.shape[1] + 1) ** 3 for x in (real, generated))
    between, between_generated = _kernel_sums(real, generated), _kernel_sums(generated, real)
    term = lambda sums: sums.sum() / (len(sums) * (len(sums) - 1))
    mean = term(within_real) + term(within_generated) - 2 * between.sum() / (n * m)
    variance = sum(_jackknife(*sums) for sums in ((within_real, between, m), (within_generated, between_generated, n)))
    error = z * variance.sqrt().item()
    return {"mean": mean.item(), "low": mean.item() - error, "high": mean.item() + error}


def _kernel_sums(a, b):
    """Σ_y k(x, y) over all y of b [M, F], for each x of a [N, F]. → [N]"""
    return torch.cat([((part @ b.T / b.shape[1] + 1) ** 3).sum(dim=1) for part in a.split(1024)])


def _jackknife(within, between, others):
    """The part of the variance of `kernel_distance` that one set has: within [N], the sums of an image's kernel with the others of
    its set, between [N] that with all `others` images of the other set."""
    n = len(within)
    left_out = (within.sum() - 2 * within) / ((n - 1) * (n - 2)) - 2 * (between.sum() - between) / ((n - 1) * others)
    return (n - 1) / n * (left_out - left_out.mean()).square().sum()


def precision_recall(real, generated, k=NEIGHBOURS, batch_size=2048):
    """Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1–3) of features [N, F] and [M, F].

    Precision is the share of generated points inside the manifold of the reals, recall the share of reals inside the
    manifold of the generated ones. A manifold is the union of balls around its points, each as wide as the distance to
    the point's k-th neighbour.
    """
    real, generated = _pair(real, generated)
    for features, name in ((real, "the first set"), (generated, "the second set")):
        if len(features) <= k:
            raise ValueError(f"{name} has {len(features)} samples; k = {k} neighbours need at least {k + 1}")
    precision = inside(generated, real, radii(real, k, batch_size), batch_size)
    recall = inside(real, generated, radii(generated, k, batch_size), batch_size)
    return precision.double().mean().item(), recall.double().mean().item()


def radii(points, k=3, batch_size=2048):
    """Distance of each point [N, F] to its k-th neighbour: the (k + 1)-th smallest, for the point itself counts. → [N]"""
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in points.split(batch_size)])


def inside(points, manifold, radius, batch_size=2048):
    """Which points [M, F] lie within `radius` [N] of a point of the manifold [N, F]. → bool [M]"""
    return torch.cat([(torch.cdist(part, manifold) <= radius).any(dim=1) for part in points.split(batch_size)])


def _square_root(cov):
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _moments_of(x, name):
    if isinstance(x, torch.Tensor):
        mean, cov = moments(_checked(x, f"{name} set"))
    else:
        mean, cov = (torch.as_tensor(part).double() for part in x)
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
            raise ValueError(f"{name} moments have shapes {list(mean.shape)} and {list(cov.shape)}; pass a mean [F] and a "
                             "covariance [F, F], or features [N, F]")
        if not (mean.isfinite().all() and cov.isfinite().all()):
            raise ValueError(f"{name} moments hold NaN or infinity")
    return mean.cpu(), cov.cpu()


def _pair(a, b):
    a, b = _checked(a, "the first set").double(), _checked(b, "the second set").double()
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the first set has {a.shape[1]} features and the second {b.shape[1]}; "
                         "a distance needs the same features of both")
    return a, b


def _checked(features, name):
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        what = list(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise ValueError(f"{name} must be a tensor of features [N, F], not {what}")
    if len(features) < 2:
        raise ValueError(f"{name} has too few samples: {len(features)}, where a distance needs at least 2")
    if not features.isfinite().all():
        rows = (~features.isfinite().all(dim=1)).sum().item()
        raise ValueError(f"{name} has NaN or infinity in {rows} of its {len(features)} rows")
    return features
