"""Multi-scale structural similarity (MS-SSIM) of pairs of images: in PGGAN a measure of how alike a generator's images are."""
import torch
import torch.nn.functional as F

from ..images import check

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5


def ms_ssim(a, b, data_range=2.0):
    """Multi-scale SSIM, Wang et al. 2003 Eq. 7, of images [N, C, H, W] whose values span `data_range` → [N].

    Five scales, each half the last. As PGGAN's code does it, a scale smaller than the window takes a smaller window.
    """
    if a.shape != b.shape:
        raise ValueError(f"the sets have shapes {list(a.shape)} and {list(b.shape)}; similarity needs pairs")
    if min(a.shape[-2:]) < 2 ** (len(WEIGHTS) - 1):
        raise ValueError(f"images of {a.shape[-1]} px are too small for five scales; they need at least 16 px")
    if data_range == 2:
        check(a, (1, 3)), check(b, (1, 3))
    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        luminance, contrast = _ssim(a, b, data_range)
        last = scale == len(WEIGHTS) - 1
        result = result * (luminance * contrast if last else contrast).mean(dim=(1, 2, 3)).clamp(min=0) ** weight
    return result


def mean_ms_ssim(images):
    """PGGAN §5: the mean MS-SSIM of the pairs of neighbours in images [N, C, H, W]; the lower, the more diverse they are. → number

    Raises ValueError for fewer than two images, and as `ms_ssim`.
    """
    n = len(images) // 2 * 2
    if n == 0:
        raise ValueError("the mean MS-SSIM compares pairs; pass at least two images")
    return torch.cat([ms_ssim(*part.unflatten(0, (-1, 2)).unbind(dim=1)) for part in images[:n].split(1000)]).mean().item()


def _ssim(a, b, data_range):
    """The luminance and the contrast-structure term of SSIM at every place where the window fits."""
    size = min(WINDOW, *a.shape[-2:])
    x = torch.arange(size, device=a.device, dtype=a.dtype) - (size - 1) / 2
    taps = torch.exp(-x.square() / (2 * (SIGMA * size / WINDOW) ** 2))
    taps = (taps / taps.sum()).expand(a.shape[1], 1, 1, size)
    blur = lambda t: F.conv2d(F.conv2d(t, taps, groups=len(taps)), taps.transpose(2, 3), groups=len(taps))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a.square(), blur(b * b) - mean_b.square()
    covariance = blur(a * b) - mean_a * mean_b
    return (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1), (2 * covariance + c2) / (var_a + var_b + c2)
