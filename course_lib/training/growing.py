"""The two steps of PGGAN's and StyleGAN's training, and the plan by which the networks grow."""
from functools import partial
from pathlib import Path

import torch

from .. import losses, ops
from ..fused import convolution
from ..images import from_uint8
from ..networks import pggan, stylegan
from . import distributed, schedule
from .adam import adam
from .loop import Phase, Run, Stage, save_generator
from .stylegan2 import check_batch, judge_both, step


def build(settings, device):
    """Networks, their moving average, and Adam. Buffers hold where the schedule stands, so that a resume finds it."""
    s = settings
    for batch in batches(s):
        check_batch(batch, s.group_size)
    sizes = dict(channel_base=s.channel_base, channel_max=s.channel_max)
    if s.model == "pggan":
        config = dict(pixel_norm=s.pixel_norm, equalized=s.equalized)
        make_G = lambda: pggan.Generator(s.resolution, s.z_dim, **sizes, **config)
        make_D = pggan.Discriminator
    else:
        config = {}
        make_G = lambda: stylegan.Generator(s.resolution, s.z_dim, s.w_dim, mapping_layers=s.mapping_layers, **sizes)
        make_D = stylegan.discriminator
    D = make_D(s.resolution, group_size=s.group_size, equalized=s.equalized, **sizes)
    G, ema = make_G(), make_G()
    ema.load_state_dict(G.state_dict())
    G, D, ema = (network.to(device, memory_format=torch.channels_last) for network in (G, D, ema))
    optimizer = lambda network: adam(network.parameters(), 1e-3, device, betas=(0.0, 0.99), eps=1e-8)
    return Run(s.model, G, D, ema.eval().requires_grad_(False), optimizer(G), optimizer(D),
               {"alpha": torch.ones([], device=device), "scheduled": torch.zeros([], dtype=torch.int64),
                "stage": torch.zeros(2, dtype=torch.int64)}, config)


def batches(settings):
    """The batches that a run meets at its resolutions."""
    resolutions = [4 << k for k in range(9) if settings.start <= 4 << k <= settings.resolution]
    return sorted({schedule.at(settings.batch, resolution) for resolution in resolutions})


def plan(run, reals, settings, device, out):
    """() → the Stage that the run is in. α moves every `schedule_every` steps; a new stage forgets Adam's moments and leaves the
    generator of the last one in `out/stages`. reals: data.Resident or data.Streamed."""
    s, made = settings, {}
    gamma = torch.full([], float(s.r1_gamma), device=device)        # a recorded step reads it anew

    def current():
        if run.step % s.schedule_every == 0:
            run.buffers["scheduled"].fill_(run.images)
        at = run.buffers["scheduled"].item()
        resolution, alpha = schedule.growing(at, s.resolution, s.start, s.stable, s.fade)
        stage = [resolution, int(alpha < 1)]
        if run.buffers["stage"].tolist() != stage:
            if run.images and distributed.rank() == 0:
                before, fading = run.buffers["stage"].tolist()
                save_generator(Path(out) / "stages" / f"G-{before:04d}{'-fade' * fading}.safetensors", run, s)
            run.G_opt.state.clear()
            run.D_opt.state.clear()
            run.buffers["stage"].copy_(torch.tensor(stage))
        run.buffers["alpha"].fill_(alpha)
        run.config |= {"reached": resolution, "alpha": alpha}
        for network in (run.G, run.D, run.ema):
            network.grow(resolution, alpha)
        if made.get("key") != stage:
            batch = schedule.at(s.batch, resolution)
            made["key"], made["rates"] = stage, dict.fromkeys((run.G_opt, run.D_opt), schedule.at(s.lr, resolution))
            there = reals.at(resolution)
            steps = phases(run, there, distributed.per_rank(batch), alpha < 1, s, device, gamma)
            decay = lambda images: schedule.ema_decay(images, batch, s.ema_kimg, rampup=None)
            made["stage"] = Stage(steps, batch, decay, there.prepare)
        schedule.move(run, s, gamma, made["rates"])
        return made["stage"]

    return current


def phases(run, reals, batch, fading, settings, device, gamma):
    """D, then G, as the official code; the regularizer is part of D's step. In a fade a recorded step reads α anew from
    its buffer. gamma: the weight of R1, a number or a tensor."""
    s, G, D = settings, run.G, run.D
    dtype = getattr(torch, s.dtype)
    alpha = run.buffers["alpha"] if fading else 1.0
    resolution, draw = reals.resolution, reals.batches(batch)
    G_params, D_params = list(G.parameters()), list(D.parameters())
    grown = dict(alpha=alpha, dtype=dtype)
    mapping, synthesis = (None, G) if s.model == "pggan" else (G.mapping, G.synthesis)
    synthesis, critic = partial(synthesis, resolution=resolution, **grown), partial(D, **grown)

    def fake_batch():
        z = torch.randn(2 * batch, G.z_dim, device=device)
        if mapping is None:
            return synthesis(z[:batch])
        w1, w2 = mapping(z).chunk(2)
        G.update_w_avg(w1)
        distributed.average([G.w_avg])
        layers = 2 * resolution.bit_length() - 4
        cutoff = torch.randint(1, layers, [], device=device)
        cutoff = torch.where(torch.rand([], device=device) < s.mixing, cutoff, G.num_ws)
        return synthesis(ops.mix_styles(*(w[:, None].expand(-1, G.num_ws, -1) for w in (w1, w2)), cutoff))

    def real_batch():
        images = from_uint8(draw()[0].contiguous(memory_format=torch.channels_last))
        return ops.fade_reals(images, alpha) if fading else images

    def discriminator():
        with torch.no_grad():
            fakes = fake_batch()
        images, r1 = real_batch(), s.loss != "wgan-gp"
        real_logits, fake_logits = judge_both(critic, images.requires_grad_(r1), fakes, s.group_size)
        with convolution.inputs_only():
            if r1:
                loss, weight = losses.discriminator_loss(real_logits, fake_logits).mean(), gamma / 2
                penalty = losses.r1_penalty(real_logits, images).mean()
            else:
                loss, weight = losses.wasserstein_discriminator_loss(real_logits, fake_logits, s.drift).mean(), s.gp_weight
                penalty = losses.gradient_penalty(critic, images, fakes).mean()
        backward(run.D_opt, loss + weight * penalty, D_params)
        return {"D_loss": loss, "penalty": penalty, "D_real": real_logits.mean(), "D_fake": fake_logits.mean()}

    def generator():
        D.requires_grad_(False)                     # or its weights' gradients were computed, too
        logits = critic(fake_batch())
        D.requires_grad_(True)
        loss = (losses.wasserstein_generator_loss if s.loss == "wgan-gp" else losses.generator_loss)(logits).mean()
        backward(run.G_opt, loss, G_params)
        return {"G_loss": loss, "alpha": run.buffers["alpha"], "resolution": torch.full_like(run.buffers["alpha"], resolution)}

    return [Phase("discriminator", 1, discriminator), Phase("generator", 1, generator)]


def backward(optimizer, loss, parameters):
    """Backpropagate into these parameters alone and let Adam move them."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    step(optimizer, parameters)
