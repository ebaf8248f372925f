"""Pivotal tuning (Roich et al. 2021, arXiv:2106.05744): a generator that draws pictures of yours at the latents found for them."""
import copy

import torch
from tqdm import tqdm

from . import inversion, sampling
from .images import in_colour, unchecked
from .styleclip.common import checked_ws
from .training.adam import adam, set_gradient


@unchecked()
@torch.enable_grad()
def tune(
    G, ws, targets, distance, *,
    steps=200,                  # of Adam
    lr=2e-3,                    # its rate; 3e-4 in the published code, for photographs of 1024 px
    l2=1.0,                     # λ_L2, weight of the mean squared difference beside the distance, in both terms
    locality=0.1,               # λ_R, weight of the locality term; 0 leaves it out
    reach=1.0,                  # α, how far from a pivot the locality term looks, in standard deviations of W
    batch=4,                    # pictures a step; of more, so many are drawn
    seed=0,                     # of these, and of the latents of the locality term
    progress=False,             # show a progress bar
):
    """§3.2, 3.3: train a copy of the generator's synthesis so that it draws the targets [N, 3, H, W] at their latents, the pivots
    ws [N, num_ws, w_dim], which stay. → (the copy, distances [steps + 1] before each step and at the end, means of the batch)

    The loss is distance(x, G(w_p)) + λ_L2 · L2, averaged over the pictures, and λ_R times the same between what the copy and the
    first generator draw at w_r = w_p + α (w_z − w_p) / ‖w_z − w_p‖, for a w_z of a random z: so the neighbours of a pivot stay as
    they were. Noise is the generator's own. Raises ValueError for latents of another generator and a loss that is not finite.
    """
    ws, first, tuned = checked_ws(G, ws), G, copy.deepcopy(G)
    learned = [p.requires_grad_() for p in tuned.synthesis.parameters()]
    optimizer, rng = adam(learned, lr, ws.device), torch.Generator().manual_seed(seed)
    deviation = inversion.w_statistics(G, torch.Generator().manual_seed(seed))[1]
    drawn = lambda network, latents: in_colour(network.synthesis(latents, noise="const"))
    targets, history = in_colour(targets.to(ws)), []

    def difference(images, wanted):
        return (distance(images, wanted) + l2 * (images - wanted).square().mean(dim=(1, 2, 3))).mean()

    with tqdm(total=steps, desc="pivotal tuning", unit="step", disable=not progress) as bar:
        for step in range(steps + 1):
            rows = torch.randperm(len(ws), generator=rng)[:batch].to(ws.device)
            images = drawn(tuned, ws[rows])
            loss = difference(images, targets[rows])
            if not loss.isfinite():
                raise ValueError(f"the loss of pivotal tuning is NaN or infinite in step {step}; a lower rate may help")
            with torch.no_grad():
                history.append(distance(images, targets[rows]).mean().item())
            bar.set_postfix_str(f"mean distance={history[-1]:.4g}", refresh=step == steps)
            if step == steps:
                break
            if locality:
                with torch.no_grad():
                    (z, given), = sampling.draws(G, 1, rng)
                    way = G.mapping(z, **given)[:, None] - ws[rows[:1]]
                    near = ws[rows[:1]] + reach * deviation * way / way.norm(dim=2, keepdim=True)
                    as_before = drawn(first, near)
                loss = loss + locality * difference(drawn(tuned, near), as_before)
            for parameter, gradient in zip(learned, torch.autograd.grad(loss, learned)):
                set_gradient(parameter, gradient)
            optimizer.step()
            bar.update()
    return tuned.requires_grad_(False), torch.tensor(history)
