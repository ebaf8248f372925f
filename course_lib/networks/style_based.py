"""What StyleGAN and StyleGAN2 have in common: from z to w, from w to a style for each layer, and noise."""
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .. import fused, ops


class Synthesis(nn.Module):
    """Styles → image. A subclass has `w_dim`, `num_ws`, and `style_layers()`: the layers that take a style, in order, as
    (name, layer, index into ws), each with its affine map `affine`; and `fused_styles(ws, affines)`, all of these maps at once on
    a GPU."""

    def styles(self, ws: Tensor) -> list[Tensor]:
        """The S space (Wu et al. 2020): ws [N, num_ws, w_dim] or w [N, w_dim] → one style for each layer, [N, I] in StyleGAN2 and
        (y_s, y_b) [N, 2C] in StyleGAN. ValueError for another shape."""
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.num_ws, -1)
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws has shape {list(ws.shape)}; this generator takes [N, {self.num_ws}, {self.w_dim}] or "
                             f"[N, {self.w_dim}]")
        ws = ws.to(next(self.parameters()).dtype).transpose(0, 1)
        layers = [(layer.affine, index) for _, layer, index in self.style_layers()]
        watched = any(affine._forward_hooks or affine._forward_pre_hooks for affine, _ in layers)
        if fused.fuses(ws) and not watched:
            return self.fused_styles(ws, [affine for affine, _ in layers])
        ws = ws.unbind()
        return [affine(ws[index]) for affine, index in layers]

    def noise_inputs(self, noise: str | list, n: int, dtype: torch.dtype) -> Iterator[Tensor | None]:
        """The noise of each layer that takes one, [H, W] or [n, 1, H, W], drawn when its turn comes.

        noise: "random", "const" (the stored noise), "none", or a list with a tensor, one of these words or None for every layer.
        ValueError for anything else.
        """
        consts = [layer.noise_const for _, layer, _ in self.style_layers() if hasattr(layer, "noise_const")]
        noises = [noise] * len(consts) if isinstance(noise, str) else list(noise)
        words = {word for word in noises if isinstance(word, str)} - {"random", "const", "none"}
        if words or len(noises) != len(consts):
            raise ValueError(f'noise is {sorted(words) or f"a list of {len(noises)}"}; choose "random", "const", "none", or a '
                             f"list of {len(consts)}: a tensor, a word or None for each layer")
        for one, const in zip(noises, consts):
            if isinstance(one, Tensor) and one.shape[-2:] != const.shape:
                raise ValueError(f"noise has shape {list(one.shape)} where {list(const.shape)} or "
                                 f"[N, 1, {', '.join(map(str, const.shape))}] is needed")
        return (_noise(one, const, n, dtype) for one, const in zip(noises, consts))


def _noise(noise, const, n, dtype):
    if isinstance(noise, Tensor):
        return noise.to(const.device)
    if noise == "random":
        return torch.randn(n, 1, *const.shape, device=const.device, dtype=dtype)
    return const if noise == "const" else None


class Generator(nn.Module):
    """z → w → image. A subclass makes `mapping`, which holds w_avg, and `synthesis`."""

    W_AVG_DECAY = 0.995

    @property
    def num_ws(self) -> int:
        return self.synthesis.num_ws

    @property
    def w_avg(self) -> Tensor:
        return self.mapping.w_avg

    def update_w_avg(self, w: Tensor, decay: float | None = None) -> None:
        """The moving mean of w [N, w_dim] that truncation pulls towards."""
        self.w_avg.copy_(ops.update_w_avg(self.w_avg, w.detach(), self.W_AVG_DECAY if decay is None else decay))

    def styles(self, ws: Tensor) -> list[Tensor]:
        """One style for each layer: see `Synthesis.styles`."""
        return self.synthesis.styles(ws)

    def forward(self, z: Tensor, c: Tensor | None = None, psi: float = 1, cutoff: int | None = None, **synthesis) -> Tensor:
        """z [N, z_dim], labels c [N, c_dim] of a conditional network → images [N, img_channels, H, W] in about [-1, 1]. psi
        truncates, in the first `cutoff` layers if that is given (StyleGAN: 0.7, 8). The other arguments are those of
        `synthesis`."""
        ws = self.mapping(z, c)[:, None].expand(-1, self.num_ws, -1)
        if psi != 1:
            ws = ops.truncate(ws, self.w_avg, psi, cutoff)
        return self.synthesis(ws, **synthesis)
