"""The steps of StyleGAN2's training, each a function that the loop calls at its own interval.

A step draws its own latents and reals, so it needs nothing from outside and can be recorded in a CUDA graph.
"""
import gc
import math
from dataclasses import replace
from functools import partial
from itertools import repeat

import torch

from .. import losses, ops, sampling
from ..fused import convolution
from ..images import from_uint8
from ..networks import stylegan2
from . import augment, distributed, schedule
from .adam import adam
from .loop import Phase, Run, Stage


def build(settings, device):
    """Networks, their moving average, and Adam with the constants of lazy regularization (StyleGAN2 App. B)."""
    s = settings
    check_batch(s.batch, batch_gpu=s.batch_gpu)
    sizes = dict(channel_base=s.channel_base, channel_max=s.channel_max, conv_clamp=s.conv_clamp, c_dim=len(s.classes))
    G = stylegan2.Generator(s.resolution, z_dim=s.z_dim, w_dim=s.w_dim, mapping_layers=s.mapping_layers, **sizes)
    D = stylegan2.Discriminator(s.resolution, **sizes)
    ema = stylegan2.Generator(s.resolution, z_dim=s.z_dim, w_dim=s.w_dim, mapping_layers=s.mapping_layers, **sizes)
    ema.load_state_dict(G.state_dict())
    G, D, ema = (network.to(device, memory_format=torch.channels_last) for network in (G, D, ema))

    def optimizer(network, interval, regularized):
        lr, betas = s.lr, (0.0, 0.99)
        if regularized:
            lr, betas = losses.lazy_adam(lr, betas, interval)
        return adam(network.parameters(), lr, device, betas=betas, eps=1e-8)

    return Run("stylegan2", G, D, ema.eval().requires_grad_(False), optimizer(G, s.pl_interval, s.pl_weight),
               optimizer(D, s.r1_interval, s.r1_gamma),
               {"pl_mean": torch.zeros([], device=device)} | augment.buffers(s, device), {"conv_clamp": s.conv_clamp})


def check_batch(batch, group=4, batch_gpu=None):
    """Raise ValueError unless a batch divides among the processes, and each part into the groups of the minibatch statistic;
    likewise the parts of `batch_gpu`."""
    whole = group * distributed.size()
    if batch % whole or not batch:
        below, each = batch // whole * whole, f" in each of {distributed.size()} processes" if distributed.size() > 1 else ""
        raise ValueError(f"--batch {batch} does not divide into the groups of {group} of the minibatch statistic{each}; "
                         f"choose {f'{below} or ' if below else ''}{below + whole}")
    share = batch // distributed.size()
    if batch_gpu and (share % batch_gpu or batch_gpu % group):
        fitting = [size for size in range(group, share + 1, group) if share % size == 0]
        raise ValueError(f"--batch-gpu {batch_gpu} does not divide the {share} images of this GPU into parts of whole groups of "
                         f"the minibatch statistic; choose one of {', '.join(map(str, fitting))}")


def plan(run, reals, settings, device):
    """One stage, from the first step to the last; R1's weight may fall through it, and the learning rate at its end. The moving
    average's half-life is at most a twentieth of the images so far, or of the whole run where --init gives an average to go on
    from. reals: data.Resident or data.Streamed."""
    s = settings
    gamma = torch.full([], float(s.r1_gamma), device=device)        # a recorded step reads it anew
    stage = Stage(phases(run, reals, s, device, gamma), s.batch,
                  lambda images: schedule.ema_decay(s.images if s.init else images, s.batch, s.ema_kimg), reals.prepare)
    full = {optimizer: float(optimizer.param_groups[0]["lr"]) for optimizer in (run.G_opt, run.D_opt)}

    def current():
        schedule.move(run, s, gamma, full)
        return stage

    return current


def phases(run, reals, settings, device, gamma):
    """G, path length, D, R1: the order of the official code. gamma: the weight of R1, a number or a tensor.

    Fakes of labelled images have the classes of reals that are drawn at random.

    With `batch_gpu` every step adds up the gradients of so many images at a time. G, D and R1 come to those of the undivided batch:
    a part holds whole groups of the minibatch statistic. The path length's moving mean, which its penalty depends on, moves with
    each part.

    The relativistic loss compares each fake with a real image, for G with one that is drawn anew. R2 is R1 of fakes.

    With `augment` D sees all images augmented, in the steps of G, D and R1, and a fifth step moves their probability. The first
    `freeze_d` blocks of D stay as they are (Mo et al. 2020, arXiv:2002.10964).
    """
    s, G, D = settings, run.G, run.D
    batch, dtype = distributed.per_rank(s.batch), getattr(torch, s.dtype)
    size = s.batch_gpu or batch
    frozen = tuple(f"b{resolution}." for resolution in D.resolutions[:s.freeze_d])
    G_params, D_params = list(G.parameters()), [p for name, p in D.named_parameters() if not name.startswith(frozen)]
    D.requires_grad_(False)
    require_grad(D_params, True)
    synthesis, critic = partial(G.synthesis, dtype=dtype), partial(D, dtype=dtype)
    draw = reals.batches(batch)
    relativistic = s.loss == "relativistic"
    discriminator_loss = losses.relativistic_loss if relativistic else losses.discriminator_loss

    def augmented(*batches):
        if s.augment == "none":
            return batches
        return augment.augment(torch.cat(batches), run.buffers["augment_p"]).chunk(len(batches))

    def latents(n, size):
        """Mapped latents [size, num_ws, w_dim] part by part, the first w of each, and their labels; with probability 0.9 a second
        latent takes over at a random layer."""
        z1, z2 = torch.randn(2 * n, G.z_dim, device=device).chunk(2)
        cutoff = torch.randint(1, G.num_ws, [], device=device)
        cutoff = torch.where(torch.rand([], device=device) < s.mixing, cutoff, G.num_ws)
        for *pair, c in zip(parts(z1, size), parts(z2, size), parts(reals.labels.draw(n), size)):
            w1, w2 = G.mapping(torch.cat(pair), torch.cat([c, c])).chunk(2)
            yield ops.mix_styles(*(w[:, None].expand(-1, G.num_ws, -1) for w in (w1, w2)), cutoff), w1, c

    def real_parts():
        for images, c in zip(*(parts(whole, size) for whole in draw())):
            yield from_uint8(images.contiguous(memory_format=torch.channels_last)), c

    def generator():
        found = []
        require_grad(D_params, False)               # or their gradients were computed, too
        run.G_opt.zero_grad(set_to_none=True)
        for (ws, w, c), (images, real_c) in zip(latents(batch, size), real_parts() if relativistic else repeat((None, None))):
            if relativistic:
                real_logits, fake_logits = judge_both(critic, *augmented(images, synthesis(ws)), labels=(real_c, c))
                each = losses.relativistic_loss(fake_logits, real_logits)
            else:
                each = losses.generator_loss(critic(*augmented(synthesis(ws)), c))
            loss = each.mean() * (size / batch)
            loss.backward(inputs=G_params)
            found.append((loss, w.detach().mean(dim=0, keepdim=True)))
        require_grad(D_params, True)
        loss, w = map(torch.stack, zip(*found))
        G.update_w_avg(w.mean(dim=0))
        distributed.average([G.w_avg])
        step(run.G_opt, G_params)
        return {"G_loss": loss.sum()}

    def path_length():
        n, part, mean, found = max(batch // 2, 1), max(size // 2, 1), run.buffers["pl_mean"], []
        run.G_opt.zero_grad(set_to_none=True)
        for ws, _, _ in latents(n, part):
            noise = torch.randn(len(ws), 3, G.resolution, G.resolution, device=device)
            with convolution.inputs_only():
                penalty, mean = losses.path_length_penalty(synthesis(ws), ws, noise, mean.detach())
            loss = penalty.mean() * (part / n)
            (loss * s.pl_weight * s.pl_interval).backward(inputs=G_params)
            found.append(loss)
        step(run.G_opt, G_params)
        run.buffers["pl_mean"].copy_(mean.detach())
        distributed.average([run.buffers["pl_mean"]])
        return {"path_length_penalty": torch.stack(found).sum(), "path_length": mean}

    def discriminator():
        found = []
        run.D_opt.zero_grad(set_to_none=True)
        for (images, c), (ws, _, fake_c) in zip(real_parts(), latents(batch, size)):
            with torch.no_grad():
                images, fakes = augmented(images, synthesis(ws))
            real_logits, fake_logits = judge_both(critic, images, fakes, labels=(c, fake_c))
            loss = discriminator_loss(real_logits, fake_logits).mean()
            (loss * (size / batch)).backward(inputs=D_params)
            found.append(torch.stack([loss, real_logits.mean(), fake_logits.mean()]))
            augment.count_signs(run.buffers, real_logits)
        step(run.D_opt, D_params)
        return dict(zip(("D_loss", "D_real", "D_fake"), torch.stack(found).mean(dim=0)))

    def fake_parts():
        for ws, _, c in latents(batch, size):
            with torch.no_grad():
                fakes = synthesis(ws)
            yield fakes, c

    def r1():
        found = {}
        run.D_opt.zero_grad(set_to_none=True)
        for name, given in (("r1_penalty", real_parts), ("r2_penalty", fake_parts))[:1 + s.r2]:
            found[name] = []
            for images, c in given():
                with convolution.inputs_only():
                    penalty = losses.r1_penalty(critic(*augmented(images.requires_grad_()), c), images).mean()
                (penalty * (size / batch) * gamma / 2 * s.r1_interval).backward(inputs=D_params)
                found[name].append(penalty)
        step(run.D_opt, D_params)
        return {name: torch.stack(penalties).mean() for name, penalties in found.items()}

    steps = [Phase("generator", 1, generator), Phase("path_length", s.pl_interval, path_length),
             Phase("discriminator", 1, discriminator), Phase("r1", s.r1_interval, r1)]
    if s.augment != "none":
        steps.append(Phase("augment", augment.EVERY, partial(augment.adjust, run.buffers, s)))
    weights = {"path_length": s.pl_weight, "r1": s.r1_gamma}
    return [phase for phase in steps if weights.get(phase.name, 1)]


def what_fits(run, reals, settings, device):
    """The sentence for a run whose memory did not suffice: what its parts of a batch need, and the largest `batch_gpu` that fits.
    Smaller parts are tried, and the need is extrapolated from the peaks of two. The networks change on the way."""
    share = distributed.per_rank(settings.batch)
    asked = settings.batch_gpu or share
    peaks, gib = {}, lambda size: f"{size / 2 ** 30:,.1f} GiB"
    for size in [size for size in range(asked - 1, 3, -1) if share % size == 0 and size % 4 == 0]:
        peak = _peak(run, reals, replace(settings, batch_gpu=size), device)
        if peak:
            peaks[size] = peak
        if len(peaks) == 2:
            break
    memory = torch.cuda.mem_get_info(device)[1]
    if not peaks:
        return (f"the memory of {device}, {gib(memory)}, does not suffice for {asked} images at a time, nor for the "
                "fewest that --batch-gpu may be; take a lower --resolution, --channel-base or --channel-max, or a "
                "smaller --data-size")
    (best, peak), (less, low) = (*peaks.items(), (0, 0))[:2]
    need = peak + (asked - best) * (peak - low) / (best - less)
    return (f"{asked} images at a time need about {gib(need)} of memory, and {device} has {gib(memory)}; "
            f"--batch-gpu {best} fits: it takes {gib(peak)}")


def _peak(run, reals, settings, device):
    """The most memory that one step of every phase takes, or None if there is less."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    try:
        for phase in phases(run, reals, settings, device, 1.0):
            phase.step()
        return torch.cuda.max_memory_reserved(device)
    except torch.OutOfMemoryError:
        return None


def parts(batch, size, group_size=4):
    """A batch [N, …] in parts of `size` that keep the strided groups of the minibatch statistic: sample i stays with those of i mod
    (N / group_size). Half batches, which the path length takes, have no groups to keep."""
    group = math.gcd(group_size, len(batch), size)
    groups = batch.unflatten(0, (group, -1))
    return [part.flatten(0, 1) for part in groups.split(size // group, dim=1)]


def require_grad(parameters, wanted):
    """Let gradients of these parameters be computed, or not."""
    for parameter in parameters:
        parameter.requires_grad_(wanted)


def step(optimizer, parameters):
    """Let Adam move these parameters by their gradients; several processes move them alike."""
    distributed.average([p.grad for p in parameters if p.grad is not None])
    optimizer.step()


def judge_both(critic, reals, fakes, group_size=4, labels=()):
    """Logits of reals and of fakes from one pass, equal to two: they are interleaved so that no group of the minibatch
    statistic holds both. labels: those of reals and of fakes."""
    n, group = len(reals), min(group_size, len(reals))
    both = [torch.stack([t.reshape(group, n // group, *t.shape[1:]) for t in pair], dim=1).flatten(0, 2)
            for pair in ((reals, fakes), labels) if pair]
    logits = critic(both[0].contiguous(memory_format=torch.channels_last), *both[1:])
    return logits.reshape(group, 2, -1).transpose(0, 1).reshape(2, n)


@torch.no_grad()
def rgb_shares(G, n=64, seed=0):
    """StyleGAN2 §4.2, Fig. 8: each resolution's share of the image, as deviation over pixels and samples; sums to one."""
    (z, labels), = sampling.draws(G, n, seed)
    _, rgbs = G(z, noise="const", return_rgb=True, **labels)
    spread = []
    for rgb in rgbs:
        while rgb.shape[2] < G.resolution:
            rgb = ops.upsample2d(rgb, G.synthesis.kernel)
        spread.append(rgb.std().item())
    return {str(r): value / sum(spread) for r, value in zip(G.synthesis.resolutions, spread)}
