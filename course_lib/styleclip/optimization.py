"""StyleCLIP §4: latent optimization, one descent for each image."""
import torch
from tqdm import tqdm

from ..images import in_colour, unchecked
from ..inversion import learning_rate_ramp
from .edits import (Edit, check_networks, checked_goal, checked_ws, embedded, encoded_prompts, finite_losses, of_convolutions,
                    seen_distance)
from .losses import hinge, identity_loss, latent_distance, optimization_loss, rest_change

SPACES = "w", "w+", "s"


@unchecked()
def optimize(G, clip, prompt, ws, space="w+", steps=300, lr=0.1, l2=0.008, identity=None, id_weight=0.0, views=4, seed=0,
             noise="const", goal=None, rest_weight=0.0, frame_every=0, callback=None, progress=False):
    """Change latents until CLIP sees the prompt in their images: descend on Eq. 1, D_CLIP + l2 · L2 + id_weight · L_ID.

    ws [N, num_ws, w_dim] or w [N, w_dim]; prompt: one for all or a list of N. space: "w" moves all layers of a latent
    alike, "w+" each on its own, "s" the styles of the convolutions (not of toRGB). identity: images → unit vectors.
    views: how many random crops, warps and noises of each image D_CLIP is averaged over; 1 takes the image itself, as published.
    noise: as in `G.synthesis`. goal: a similarity, one or [N] (`enough`), which the mean over the views has to reach; beyond it D_CLIP
    asks for no more and the other terms decide. None wants ever more, as the paper does. rest_weight: of `rest_change`, 0 in the
    paper. callback(step, losses, images) → True ends the descent. Images do not influence each other.
    Returns an Edit: latents in the form of the space, `frames` every `frame_every` steps, and the losses "total", "clip",
    "l2", "identity" and "rest" (unweighted but for the total) before every step.
    Raises ValueError for latents of another generator or with NaN, an unknown space, an empty prompt.
    """
    walk = optimizing(G, clip, prompt, ws, space, steps, lr, l2, identity, id_weight, views, seed, noise, goal, rest_weight)
    frames, done = [], None
    with tqdm(total=steps, desc=f"edit in {space.upper()}", disable=not progress) as bar:
        while True:
            try:
                step, losses, images = walk.send(done)
            except StopIteration as end:
                found = end.value
                return found._replace(frames=frames + [found.images] * bool(frame_every))
            if frame_every and step % frame_every == 0:
                frames.append(images.cpu())
            done = callback and callback(step, losses, images)
            bar.set_postfix({name: f"{value.mean():.3g}" for name, value in losses.items()})
            bar.update()


@torch.enable_grad()
def optimizing(G, clip, prompt, ws, space="w+", steps=300, lr=0.1, l2=0.008, identity=None, id_weight=0.0, views=4, seed=0,
               noise="const", goal=None, rest_weight=0.0):
    """`optimize` step by step: yields (step, losses, images [N, 3, H, W]), and ends early if it is sent something true.

    Returns the Edit without frames.
    """
    _check(G, clip, space, steps, lr, l2, identity, id_weight, views, rest_weight)
    ws = checked_ws(G, ws)
    text = encoded_prompts(clip, prompt, len(ws))
    goal = checked_goal(goal, len(ws), ws.device)
    rng = torch.Generator().manual_seed(seed)
    sources, moving = _latents(G, ws, space)
    offsets = [torch.zeros_like(source[:, :1] if space == "w" else source, requires_grad=True)
               for source, moves in zip(sources, moving) if moves]
    optimizer = torch.optim.Adam(offsets, betas=(0.9, 0.999))
    with torch.no_grad():
        before = _render(G, sources, space, noise) if id_weight or rest_weight else None
        known = embedded(identity, before) if id_weight else None
        seen_before = clip.encode_images(before) if rest_weight else None
    history = []

    def edited():
        left = iter(offsets)
        return [source + next(left) if moves else source for source, moves in zip(sources, moving)]

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * learning_rate_ramp(step / steps)

        # The terms of the loss, one value per image.
        images = _render(G, edited(), space, noise)
        unmoved = [torch.zeros_like(offset) for offset in offsets]
        losses = {"clip": seen_distance(clip, images, text, views, rng), "l2": latent_distance(offsets, unmoved)}
        if id_weight:
            losses["identity"] = identity_loss(identity(images), known)
        total = optimization_loss(hinge(losses["clip"], goal), offsets, unmoved, losses.get("identity", 0.0), l2, id_weight)
        if rest_weight:
            losses["rest"] = rest_change(clip.encode_images(images), seen_before, text)
            total = total + rest_weight * losses["rest"]
        gradients = torch.autograd.grad(total.sum(), offsets)
        losses = {name: value.detach().cpu() for name, value in {"total": total, **losses}.items()}
        finite_losses(losses, step)
        history.append(losses)
        if (yield step, losses, images.detach()):
            break

        for offset, gradient in zip(offsets, gradients):
            offset.grad = gradient
        optimizer.step()

    with torch.no_grad():
        latents = [latent.detach() for latent in edited()]
        images = _render(G, latents, space, noise).cpu()
    return Edit(latents if space == "s" else latents[0], images, [],
                {name: torch.stack([losses[name] for losses in history]) for name in history[0]})


def _latents(G, ws, space):
    """The latents of a space as a list of tensors, and which of them move."""
    if space != "s":
        return [ws], [True]
    with torch.no_grad():
        return G.styles(ws), of_convolutions(G)


def _render(G, latents, space, noise):
    return in_colour(G.synthesis(styles=latents, noise=noise) if space == "s" else G.synthesis(latents[0], noise=noise))


def _check(G, clip, space, steps, lr, l2, identity, id_weight, views, rest_weight):
    if space not in SPACES:
        raise ValueError(f'space is "{space}"; choose "w", "w+" or "s"')
    if steps < 1 or views < 1:
        raise ValueError(f"{steps} steps of {views} views change nothing; take at least 1 of each")
    if not lr > 0:
        raise ValueError(f"the learning rate is {lr}; it must be above 0, and is 0.1 as published")
    if min(l2, id_weight, rest_weight) < 0:
        raise ValueError(f"the weights l2 = {l2}, id_weight = {id_weight} and rest_weight = {rest_weight} must not be negative")
    if id_weight and identity is None:
        raise ValueError(f'id_weight is {id_weight}, but there is no identity network; pass identity=zoo.load("identity-portraits-64")')
    check_networks(G, clip, identity)
