"""Multi-scale structural similarity, against its definition in scipy and against what is known of it."""
import numpy as np
import pytest
import torch
from scipy import ndimage

from course_lib.metrics import ssim


def pair(size=64, seed=0):
    a, b = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return a[None].double(), (0.7 * a + 0.3 * b)[None].double()


def by_definition(a, b, data_range=2.0):
    """One pair of channels [H, W] by Wang et al. 2003, with scipy's filters."""
    c1, c2, values = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2, []
    for scale in range(5):
        size = min(11, len(a))
        x = np.arange(size) - (size - 1) / 2
        taps = np.exp(-x ** 2 / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(taps, taps) / taps.sum() ** 2
        low, high = size // 2, len(a) - (size - 1) // 2
        blur = lambda t: ndimage.correlate(t, window, mode="constant")[low:high, low:high]
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma ** 2, blur(b * b) - mb ** 2, blur(a * b) - ma * mb
        structure = (2 * cov + c2) / (va + vb + c2)
        values.append((structure if scale < 4 else structure * (2 * ma * mb + c1) / (ma ** 2 + mb ** 2 + c1)).mean())
        a, b = (t.reshape(len(t) // 2, 2, -1, 2).mean(axis=(1, 3)) for t in (a, b))
    return np.prod([max(v, 0) ** w for v, w in zip(values, ssim.WEIGHTS)])


def test_it_is_what_its_definition_says():
    a, b = (t[:, :1] for t in pair())
    assert ssim.ms_ssim(a, b).item() == pytest.approx(by_definition(a[0, 0].numpy(), b[0, 0].numpy()), rel=1e-9)


def test_an_image_is_like_itself_and_less_like_others():
    a, b = pair(32)
    assert torch.allclose(ssim.ms_ssim(a, a), torch.ones(1).double())
    nearer = 0.9 * a + 0.1 * b
    assert ssim.ms_ssim(a, b) < ssim.ms_ssim(a, nearer) < 1


def test_the_mean_ms_ssim_rises_when_images_repeat():
    images = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    repeated = images[::2].repeat_interleave(2, dim=0)
    assert ssim.mean_ms_ssim(images) < 0.5 and ssim.mean_ms_ssim(repeated) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("call,message", [
    (lambda: ssim.ms_ssim(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 16, 16)), "needs pairs"),
    (lambda: ssim.ms_ssim(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)), "8 px are too small"),
    (lambda: ssim.mean_ms_ssim(torch.zeros(1, 3, 32, 32)), "at least two")])
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
