"""The four steps of StyleGAN2's training, each a function that the loop calls at its own interval.

A step draws its own latents and reals, so it needs nothing from outside and can be recorded in a CUDA graph.
"""
from functools import partial

import torch

from .. import fast, losses, ops
from ..networks import stylegan2
from . import distributed, schedule
from .loop import Phase, Run, Stage


def build(settings, device):
    """Networks, their moving average, and Adam with the constants of lazy regularization (StyleGAN2 App. B)."""
    s = settings
    check_batch(distributed.share(s["batch"]))
    sizes = dict(channel_base=s["channel_base"], channel_max=s["channel_max"], conv_clamp=s["conv_clamp"])
    G = stylegan2.Generator(s["resolution"], z_dim=s["z_dim"], w_dim=s["w_dim"], mapping_layers=s["mapping_layers"], **sizes)
    D = stylegan2.Discriminator(s["resolution"], **sizes)
    ema = stylegan2.Generator(s["resolution"], z_dim=s["z_dim"], w_dim=s["w_dim"], mapping_layers=s["mapping_layers"],
                              **sizes)
    ema.load_state_dict(G.state_dict())
    G, D, ema = (network.to(device, memory_format=torch.channels_last) for network in (G, D, ema))

    def adam(network, interval, regularized):
        lr, betas = s["lr"], (0.0, 0.99)
        if regularized:
            lr, betas = losses.lazy_adam(lr, betas, interval)
        fused = dict(fused=True, capturable=True) if torch.device(device).type == "cuda" else {}
        lr = torch.tensor(lr, device=device) if fused else lr          # a recorded step reads it anew
        return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, eps=1e-8, **fused)

    return Run("stylegan2", G, D, ema.eval().requires_grad_(False), adam(G, s["pl_interval"], s["pl_weight"]),
               adam(D, s["r1_interval"], s["r1_gamma"]),
               {"pl_mean": torch.zeros([], device=device)}, {"conv_clamp": s["conv_clamp"]})


def check_batch(batch):
    if batch > 4 and batch % 4:
        raise ValueError(f"batch {batch} does not divide into the groups of 4 of the minibatch statistic; "
                         f"choose {batch // 4 * 4} or {batch // 4 * 4 + 4}")


def plan(run, reals, settings, device, compiled=False):
    """One stage, from the first step to the last; R1's weight may fall through it, and the learning rate at its end."""
    s = settings
    if s.get("r1_gamma_end") and not s["r1_gamma"]:
        raise ValueError("--r1-gamma-end lets the weight of R1 fall from --r1-gamma, which is 0; give both, or neither")
    gamma = torch.full([], float(s["r1_gamma"]), device=device)        # a recorded step reads it anew
    rampup = None if s.get("init") else 0.05
    stage = Stage(phases(run, reals, s, device, gamma, compiled), s["batch"],
                  lambda images: schedule.ema_decay(images, s["batch"], s["ema_kimg"], rampup))
    full = {optimizer: float(optimizer.param_groups[0]["lr"]) for optimizer in (run.G_opt, run.D_opt)}

    def current():
        for optimizer, lr in full.items() if s.get("lr_anneal") else ():
            group, lr = optimizer.param_groups[0], lr * schedule.anneal(run.images, s["images"], s["lr_anneal"])
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        if s.get("r1_gamma_end"):
            gamma.fill_(schedule.geometric(run.images, s["images"], s["r1_gamma"], s["r1_gamma_end"]))
        return stage

    return current


def phases(run, reals, settings, device, gamma, compiled=False):
    """G, path length, D, R1: the order of the official code. gamma: the weight of R1, a number or a tensor."""
    s, G, D = settings, run.G, run.D
    batch, dtype = distributed.share(s["batch"]), getattr(torch, s["dtype"])
    G_params, D_params = list(G.parameters()), list(D.parameters())
    mapping, synthesis, critic = G.mapping, partial(G.synthesis, dtype=dtype), partial(D, dtype=dtype)
    path_length_penalty = lambda ws, noise, mean: losses.path_length_penalty(synthesis(ws), ws, noise, mean)
    r1_penalty = lambda images: losses.r1_penalty(critic(images.requires_grad_()), images)
    if compiled:
        path_length_penalty, r1_penalty = partial(fast.path_length_penalty, synthesis), partial(fast.r1_penalty, critic)
        mapping, synthesis, critic, path_length_penalty, r1_penalty = (
            torch.compile(f, dynamic=False) for f in (mapping, synthesis, critic, path_length_penalty, r1_penalty))

    def latents(n):
        """Mapped latents [n, num_ws, w_dim]; with probability 0.9 a second one takes over at a random layer."""
        w1, w2 = mapping(torch.randn(2 * n, G.z_dim, device=device)).chunk(2)
        cutoff = torch.randint(1, G.num_ws, [], device=device)
        cutoff = torch.where(torch.rand([], device=device) < s["mixing"], cutoff, G.num_ws)
        return ops.mix_styles(*(w[:, None].expand(-1, G.num_ws, -1) for w in (w1, w2)), cutoff), w1

    def real_batch():
        images = reals[torch.randint(len(reals), [batch], device=device)]
        return images.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1

    def generator():
        ws, w = latents(batch)
        G.update_w_avg(w)
        distributed.average([G.w_avg])
        D.requires_grad_(False)                     # compiled code computes every gradient that could be asked for
        loss = losses.generator_loss(critic(synthesis(ws))).mean()
        D.requires_grad_(True)
        step(run.G_opt, loss, G_params)
        return {"G_loss": loss}

    def path_length():
        ws, _ = latents(max(batch // 2, 1))
        noise = torch.randn(len(ws), 3, G.resolution, G.resolution, device=device)
        penalty, mean = path_length_penalty(ws, noise, run.buffers["pl_mean"])
        step(run.G_opt, penalty.mean() * s["pl_weight"] * s["pl_interval"], G_params)
        run.buffers["pl_mean"].copy_(mean.detach())
        distributed.average([run.buffers["pl_mean"]])
        return {"path_length_penalty": penalty.mean(), "path_length": mean}

    def discriminator():
        with torch.no_grad():
            fakes = synthesis(latents(batch)[0])
        real_logits, fake_logits = judge_both(critic, real_batch(), fakes)
        loss = losses.discriminator_loss(real_logits, fake_logits).mean()
        step(run.D_opt, loss, D_params)
        return {"D_loss": loss, "D_real": real_logits.mean(), "D_fake": fake_logits.mean()}

    def r1():
        penalty = r1_penalty(real_batch()).mean()
        step(run.D_opt, penalty * gamma / 2 * s["r1_interval"], D_params)
        return {"r1_penalty": penalty}

    steps = [Phase("generator", 1, generator), Phase("path_length", s["pl_interval"], path_length),
             Phase("discriminator", 1, discriminator), Phase("r1", s["r1_interval"], r1)]
    weights = {"path_length": s["pl_weight"], "r1": s["r1_gamma"]}
    return [phase for phase in steps if weights.get(phase.name, 1)]


def step(optimizer, loss, parameters):
    """Backpropagate into these parameters alone and let Adam move them; several processes move them alike."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    distributed.average([p.grad for p in parameters if p.grad is not None])
    optimizer.step()


def judge_both(critic, reals, fakes, group_size=4):
    """Logits of reals and of fakes from one pass, equal to two: they are interleaved so that no group of the minibatch
    statistic holds both."""
    n, group = len(reals), min(group_size, len(reals))
    both = torch.stack([t.reshape(group, n // group, *t.shape[1:]) for t in (reals, fakes)], dim=1)
    logits = critic(both.flatten(0, 2).contiguous(memory_format=torch.channels_last))
    return logits.reshape(group, 2, -1).transpose(0, 1).reshape(2, n)


@torch.no_grad()
def rgb_shares(G, n=64, seed=0):
    """StyleGAN2 §4.2, Fig. 8: each resolution's share of the image, as deviation over pixels and samples; sums to one."""
    device = G.w_avg.device
    z = torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    parts = []
    G(z, noise="const", parts=parts)
    spread = []
    for part in parts:
        while part.shape[2] < G.resolution:
            part = ops.upsample2d(part, G.synthesis.kernel)
        spread.append(part.std().item())
    return {str(r): value / sum(spread) for r, value in zip(G.synthesis.resolutions, spread)}
