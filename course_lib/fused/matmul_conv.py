"""3×3 convolutions as matrix products, each with the form of the weight that it takes: on a CPU faster than PyTorch's.

Maps are [N, C, H, W], best with channels last in memory, and so is what comes out: the channels of a pixel are a row of a matrix.
"""
from functools import cache, partial
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd import Function


class Form(NamedTuple):
    """A convolution as matrix products."""
    matrices: Callable          # weight [O, I, 3, 3] → what it takes of the weight
    conv2d: Callable            # (x, matrices) → [N, O, H, W]
    adjoint: Callable           # weight → the matrices of its gradient


class Products(Function):
    """form.conv2d(x, matrices), and its gradient in the same form: that of a convolution is one with the kernels turned around."""

    @staticmethod
    def forward(ctx, x, form, matrices, adjoint):
        ctx.rest = form, adjoint, matrices
        return form.conv2d(x, matrices)

    @staticmethod
    def backward(ctx, gradient):
        return Products.apply(gradient, *ctx.rest), None, None, None


def of_size(matrices, conv2d, **options):
    """The Form of a convolution that keeps the size."""
    adjoint = lambda weight: matrices(weight.flip([2, 3]).transpose(0, 1), **options)
    return Form(partial(matrices, **options), partial(conv2d, **options), adjoint)


def im2col(weight):
    """The matrix of a weight for im2col: [O, I, 3, 3] → [9·I, O]."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def im2col_conv2d(x, matrix):
    """`F.conv2d(x, weight, padding=1)` as one product: a row has the nine pixels that one pixel is made of."""
    n, c, h, w = x.shape
    rows = F.pad(x, [1, 1, 1, 1]).unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 4, 5, 1).reshape(-1, 9 * c)
    return (rows @ matrix).view(n, h, w, -1).permute(0, 3, 1, 2)


def taps(weight):
    """The matrices of a weight for `upsampled_conv2d`, one for each row of its kernels: [O, I, 3, 3] → [3, I, 3·O]."""
    return weight.permute(2, 1, 3, 0).flatten(2).contiguous()


def upsampled_conv2d(x, matrices, kernel):
    """`F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)`, filtered by `ops.upfirdn2d(…, kernel, padding=1, gain=4)`, for a
    separable kernel [4, 4]. [N, I, H, W] → [N, O, 2H, 2W]

    A first product gives what every pixel adds by each of the nine taps. Where it adds them, and the filter, are linear along
    either axis: two more products, Y = S_H T S_Wᵀ.
    """
    c, h, w = x.shape[1:]
    down, across = _spreading(h, _axis(kernel), x.dtype)[0], _spreading(w, _axis(kernel), x.dtype)[1]
    parts = []
    for part in x.split(max(1, 1024 // (h * w))):                                      # so many stay in the cache
        found = _products(part.permute(0, 2, 3, 1).reshape(-1, c), matrices).view(3, len(part), h, -1)
        rows = _products(down, found.transpose(0, 1).reshape(len(part), 3 * h, -1))    # [n, 2H, W · 3 · O]
        parts.append(_products(across, rows.view(len(part) * 2 * h, 3 * w, -1)))
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(len(x), 2 * h, 2 * w, -1).permute(0, 3, 1, 2)


def _products(matrix, matrices):
    """`matrix @ matrices`, [A, B] and [N, B, C], which copies neither of them where one learns."""
    return torch.bmm(matrix.expand(len(matrices), -1, -1), matrices)


def upsample2d(x, kernel):
    """`ops.upsample2d` by two for a separable kernel [4, 4], as products with a matrix for either axis."""
    return _upsampling(x.shape[2], _axis(kernel), x.dtype) @ x @ _upsampling(x.shape[3], _axis(kernel), x.dtype).t()


def _axis(kernel):
    """The taps of a separable kernel along one axis, with a gain of 2."""
    row = kernel[0].tolist()
    return tuple(2 * tap / sum(row) for tap in row)


@cache
def _upsampling(size, filter, dtype):
    """The matrix [2·size, size] that upsamples along an axis."""
    pixels, filter = torch.eye(size, dtype=torch.float64)[:, None], torch.tensor(filter, dtype=torch.float64)
    return F.conv_transpose1d(pixels, filter[None, None], stride=2, padding=1)[:, 0].t().to(dtype)


@cache
def _spreading(size, filter, dtype):
    """The matrices S [2·size, 3·size] along an axis, with columns by tap and pixel, and by pixel and tap."""
    places = torch.arange(3)[:, None] + 2 * torch.arange(size)                         # tap t of pixel i is added at 2i + t
    placed = F.one_hot(places, 2 * size + 1).double().view(-1, 1, 2 * size + 1)
    filtered = F.conv1d(placed, torch.tensor(filter, dtype=torch.float64).flip(0)[None, None], padding=1).view(3, size, 2 * size)
    return tuple(filtered.permute(order).flatten(1).to(dtype).contiguous() for order in ([2, 0, 1], [2, 1, 0]))


def _values(points, n):
    """A polynomial's n coefficients → its values at some points and, the last coefficient, at ∞."""
    points = torch.tensor(points, dtype=torch.float64)
    return torch.cat([points[:, None] ** torch.arange(n), torch.eye(n, dtype=torch.float64)[-1:]])


@cache
def _transforms(tile, dtype):
    """Aᵀ ⊗ Aᵀ, G ⊗ G and Bᵀ ⊗ Bᵀ of F(tile×tile, 3×3), for both axes at once.

    The points matter (Barabasz et al. 2020, arXiv:1803.10986): those of F(4×4, 3×3) lose about 5e-6 of the largest value in
    float32; with −2 in place of −1/2 it was three times that. F(2×2, 3×3) loses 6e-7.
    """
    points = [0, 1, -1, 2, -0.5][:tile + 1]
    axes = _values(points, tile).t(), _values(points, 3), _values(points, tile + 2).inverse().t()
    return [torch.kron(m, m).to(dtype) for m in axes]


def winograd(weight, tile):
    """G g Gᵀ of every kernel g: [O, I, 3, 3] → [(tile + 2)², I, O]."""
    o, i = weight.shape[:2]
    return (_transforms(tile, weight.dtype)[1] @ weight.permute(2, 3, 1, 0).reshape(9, i * o)).view(-1, i, o)


def winograd_conv2d(x, matrices, tile):
    """`F.conv2d(x, weight, padding=1)` by Winograd's F(tile×tile, 3×3) (Lavin & Gray 2016, arXiv:1509.09308), where H and W are
    multiples of the tile: for 4×4 pixels 36 multiplications instead of 144, for 2×2 16 instead of 36.

    Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A (Eq. 8) for every tile d, summed over the channels as products. Strips of 128 tiles of 4×4 stay
    in the cache.
    """
    h, w = x.shape[2:]
    rows = 4 * max(1, 512 // w)
    images = max(1, 2048 // (h * w))                                                   # at a time, or strips of one
    padded, pixels = F.pad(x, [1, 1, 1, 1]), x.new_empty(len(x), h, w, matrices.shape[2])
    for part, out in zip(padded.split(images), pixels.split(images)):
        for y in range(0, h, rows):
            _strip(part[:, :, y:y + rows + 2], matrices, tile, out[:, y:y + rows])
    return pixels.permute(0, 3, 1, 2)


def _strip(x, matrices, tile, out):
    """[N, I, H + 2, W + 2], into out [N, H, W, O]."""
    AT, _, BT = _transforms(tile, x.dtype)
    n, c, h, w = len(x), x.shape[1], (x.shape[2] - 2) // tile, (x.shape[3] - 2) // tile
    tiles = x.unfold(2, tile + 2, tile).unfold(3, tile + 2, tile).permute(4, 5, 0, 2, 3, 1).reshape(len(BT), -1)
    products = (BT @ tiles).view(len(BT), -1, c) @ matrices
    pixels = (AT @ products.view(len(BT), -1)).view(tile, tile, n, h, w, -1)
    out.unflatten(1, (h, tile)).unflatten(3, (w, tile)).copy_(pixels.permute(2, 3, 0, 4, 1, 5))


IM2COL = of_size(im2col, im2col_conv2d)
WINOGRAD2, WINOGRAD4 = (of_size(winograd, winograd_conv2d, tile=tile) for tile in (2, 4))
UPSAMPLED = Form(taps, upsampled_conv2d, None)      # (x, matrices, kernel) → [N, O, 2H, 2W]; PyTorch differentiates products
