# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Stable training: four ingredients
#
# > **The claim** (Karras et al. 2018, §3–4): GANs tend to capture only a part of the variety of their data; showing the
# > discriminator a statistic of the whole batch helps (§3). And two networks that compete escalate each other's signals;
# > normalising every pixel and learning at one pace in all layers stops that (§4). None of this needs a parameter that is learnt.
#
# You will
#
# - multiply the weights of a trained PGGAN and watch its activations with and without **pixel norm**;
# - see at what pace Adam changes each layer, and why an **equalized learning rate** makes it one pace;
# - see what becomes of a generator that repeats itself, without and with the **minibatch standard deviation**;
# - see a critic run away, and hold it with the **gradient penalty** of WGAN-GP;
# - compare trainings that lack one ingredient each, and see which absence shows at this size.
#
# About 90 minutes. You need lesson 00; lesson 01 explains how PGGAN grows.

# %%
import json
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import exercises, losses, metrics, ops, plots, portraits, widgets, zoo
from course_lib.exercises import ____
from course_lib.metrics import style_analysis
from course_lib.networks import classifiers, pggan

torch.manual_seed(0)
torch.set_num_threads(1)                              # networks as small as these run faster on one core
ex = exercises.lesson("02")
G = zoo.load("pggan-portraits-64", "32")              # as it was at the end of its stage of 32 × 32 pixels

# %% [markdown]
# ## The problem: signals that grow
#
# $D$ pushes $G$, $G$ answers, $D$ has to push harder. Nothing in the losses says how large a weight or an activation may become,
# so the signals of both networks can grow without end (§4 calls it escalation). And layers multiply: a factor in one is multiplied
# by that of the next.
#
# Here is the trained PGGAN as it was at the end of its stage of 32 × 32 pixels: two layers for each of four resolutions, eight in
# all. Each is a convolution, a bias and a leaky ReLU, and then comes pixel norm, which you will write next. `gain` multiplies the
# weights of all eight layers, as if training had made them larger.

# %%
@torch.no_grad()
def run(z, gain=1.0, pixel_norm=True):
    """The image, and the output of each layer before it is normalised."""
    x, outputs = ops.pixel_norm(z), []
    for r in G.resolutions:
        block = getattr(G, f"b{r}")
        for layer in (G.dense, block.conv1) if r == 4 else (block.conv0, block.conv1):
            x = x if layer is G.dense or x.shape[2] == r else ops.upscale2d(x)
            weight = gain * layer.weight * layer.scale
            x = (x @ weight.T).reshape(-1, 128, 4, 4) if layer is G.dense else F.conv2d(x, weight, padding=1)
            outputs.append(layer.activate(x))
            x = ops.pixel_norm(outputs[-1]) if pixel_norm else outputs[-1]
    return block.torgb(x), outputs


z = torch.randn(8, G.z_dim, generator=torch.Generator().manual_seed(1))
print("the same portraits as the library's:", bool((run(z)[0] - G(z)).abs().max() < 1e-4))

# %% [markdown]
# > **Predict.** All weights 1.4 times as large, and no normalisation. The weights of a single layer would make its output 1.4
# > times as large. And the output of the eighth layer?

# %%
size = lambda x: x.square().mean().sqrt().item()
print("root mean square of the output of layer     " + "".join(f"{i:7d}" for i in range(1, 9)))
for normalised in (True, False):
    for gain in (0.7, 1.0, 1.4, 2.0):
        sizes = [size(x) for x in run(z, gain, normalised)[1]]
        print(f"{'with pixel norm' if normalised else 'without':16s} weights times {gain:.1f}          "
              + "".join(f"{s:7.1f}" for s in sizes))

# %%
def factor(pixel_norm):
    return size(run(z, 1.4, pixel_norm)[1][-1]) / size(run(z, 1.0, pixel_norm)[1][-1])


print(f"weights times 1.4: the last output times {factor(True):.1f} with pixel norm, times {factor(False):.0f} without; "
      f"1.4 to the power of 8 is {1.4 ** 8:.0f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# About as much as eight factors of 1.4 together, a little less because the biases do not grow along. With pixel norm every layer
# starts from features of the same size, so what one layer does to the magnitude is forgotten before the next.
# </details>
#
# Look at the maps themselves, one of each layer, blue below zero and red above. The colours of a map end at twice its largest
# value in the trained generator. The last column is the image.

# %%
varied = [x.std(dim=(2, 3)).mean(dim=0).argmax().item() for x in run(z)[1]]
largest = [x[:, i].abs().max() for x, i in zip(run(z)[1], varied)]


def picture(gain=1.4, portrait=3):
    rows = []
    for pixel_norm in (True, False):
        image, outputs = run(z[[portrait]], gain, pixel_norm)
        maps = [plots.diverging(x[0, i], limit=2 * top) for x, i, top in zip(outputs, varied, largest)]
        rows += [ops.upscale2d(m[None], 64 // m.shape[-1]) for m in maps] + [ops.upscale2d(image)]
    columns = [f"{x.shape[-1]} px" for x in outputs] + ["image"]
    return plots.image_grid(torch.cat(rows), columns=9, scale=1, labels=["pixel norm", "without"], titles=columns)


for gain in (0.7, 1.0):
    print(f"weights times {gain}")
    plots.show(picture(gain), alt=f"Maps of the eight layers and the image with weights times {gain}, with and without pixel norm.")
print("weights times 1.4, or what you choose")
widgets.explorer(picture, gain=(0.5, 2.0, 0.1), portrait=(0, 7),
                 alt="Maps of the eight layers and the image, above with pixel norm "
                 "and below without it, which follow the slider for the size of the weights.")

# %% [markdown]
# Without the normalisation the signal dies out on its way below 1 and runs away above it, and the image with it. (At 1 it is not
# the trained image either, for the weights were trained with the normalisation.) With it the portrait stays a portrait.
#
# ## Pixel norm
#
# The cure is blunt. After every layer, the $C$ features of each pixel are divided by their root mean square:
#
# $$b_{x,y} = a_{x,y} \Big/ \sqrt{\tfrac1C \sum_{j=1}^{C} \big(a^j_{x,y}\big)^2 + \epsilon} \qquad\text{(§4.2)}$$
#
# No mean is subtracted, nothing is learnt, and no other pixel or image takes part. The latent $z$ is normalised in the same way
# before it enters.
#
# > **Predict.** What can a generator no longer say once each pixel is normalised? And how large can one of 128 features be?
#
# <details><summary><b>Answer</b></summary>
#
# How *large* the features of a pixel are: a dark, featureless pixel and a rich one leave with the same length. Only the direction
# of the feature vector is left. A single feature is at most $\sqrt{128} \approx 11$, when all others are 0, and the squares
# average 1. So no signal can grow, whatever the weights do.
# </details>
#
# ### Exercise 1 · pixel_norm
#
# `x` is $[N, C, H, W]$, or $[N, C]$ for latents. $\epsilon$ goes inside the root. Gradients must pass through it. The trained
# generator will draw with your function.

# %%
def pixel_norm(x, eps=1e-8):
    return ____


ex.pixel_norm.check(pixel_norm)

# %% [markdown]
# ## One pace for all layers
#
# Weights are usually drawn with a standard deviation of $\text{gain}/\sqrt{\text{fan-in}}$ (He et al. 2015): a sum over more
# inputs needs smaller weights, so that its output has standard deviation 1. That is right at the start. But then Adam comes. Adam
# divides the gradient by its own size, so **each weight moves by about the learning rate in a step, whether it is large or
# small**.
#
# > **Predict.** PGGAN's discriminator has a layer that sums over 3 inputs (a pixel's colours) and one that sums over 2,048. One
# > step of Adam: which layer has changed more, measured by the size of its weights? By what factor?

# %%
def relative_steps(equalized):
    """The change of every layer in one step of Adam, relative to the size of its weights."""
    torch.manual_seed(1)
    D = pggan.Discriminator(32, channels={4: 128, 8: 128, 16: 128, 32: 64}, equalized=equalized)
    layers = {name: module.weight for name, module in D.named_modules() if hasattr(module, "scale")}
    before = {name: weight.detach().clone() for name, weight in layers.items()}
    optimizer = torch.optim.Adam(D.parameters(), lr=0.001, betas=(0.0, 0.99), eps=1e-8)
    D(torch.randn(8, 3, 32, 32)).square().mean().backward()
    optimizer.step()
    return {f"{name}, {w[0].numel():,} inputs": ((w - before[name]).norm() / before[name].norm()).item()
            for name, w in layers.items()
            if w.grad is not None}


he, equal = relative_steps(False), relative_steps(True)

# %%
fig, ax = plt.subplots(figsize=(7, 3.4))
ax.barh([i - 0.2 for i in range(len(he))], [100 * s for s in he.values()], 0.4, label="He's initial weights")
ax.barh([i + 0.2 for i in range(len(he))], [100 * s for s in equal.values()], 0.4, label="equalized")
ax.set_yticks(range(len(he)), he)
ax.invert_yaxis()
ax.set_xlabel("change of the weights in one step of Adam, % of their size")
ax.legend()
plots.show(fig, alt="Relative change of each layer of the discriminator in one step of Adam. With He's initial weights layers with "
                    "many inputs change most; with equalized weights all change alike.")
for name, steps in (("He's initial weights", he), ("equalized", equal)):
    print(f"{name:21s} from {100 * min(steps.values()):.2f} % to {100 * max(steps.values()):.2f} % of the weights in one step, "
          f"a factor of {max(steps.values()) / min(steps.values()):.0f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# The layer with many inputs, for its weights are small and the step is not: the factor is $\sqrt{2048/3} \approx 26$. A learning
# rate that suits one layer is too small or too large for the others.
# </details>
#
# The cure is to draw every weight from $N(0, 1)$ and to multiply by He's constant **each time the layer is used**:
#
# $$\hat w = c\, w \qquad w \sim N(0, 1) \qquad c = \text{gain} \big/ \sqrt{\text{fan-in}} \qquad\text{(§4.1)}$$
#
# The output is the same as before. But Adam sees $w$, and all $w$ have the same size, so all layers learn at the same pace. (The
# paper prints $\hat w = w/c$; the authors' code multiplies, as here, and so must it be for $\hat w$ to have He's standard
# deviation.)
#
# ### Exercise 2 · equalized_scale
#
# `shape` is that of a weight: $[O, I, k, k]$ or $[O, I]$. Return $c$ as a Python number. Before a leaky ReLU the network asks for
# a gain of $\sqrt2$, before the image for 1. In the proof the trained generator is built anew, and each of its layers asks for
# its $c$. (Look closely if your scale is wrong: after each layer pixel norm hides much of it.)

# %%
def equalized_scale(shape, gain=1.0):
    return ____


ex.equalized_scale.check(equalized_scale)

# %% [markdown]
# > **Predict.** With plain gradient descent instead of Adam, would the two kinds still differ?
#
# <details><summary><b>Answer</b></summary>
#
# Yes, the other way round: the gradient of $w$ is $c$ times that of $\hat w$, and a step of $w$ moves $\hat w$ by another $c$. So
# $\hat w$ moves by $c^2$ times its gradient, and layers with many inputs learn more slowly than in plain descent. The trick is
# made for optimizers that do not care how large a gradient is.
# </details>
#
# ## A batch says more than its images
#
# Now variety. A generator may draw only a few kinds of portraits, or in the worst case one portrait again and again. This is **mode
# collapse**. Which of these rows comes from such a generator?

# %%
reals = torch.cat([images for images, _ in portraits.batches(768, seed=3, resolution=16)])      # draws for some seconds
held_out, reals = reals[:256], reals[256:]
plots.show(plots.image_grid(torch.cat([held_out[:8], held_out[8:9].expand(8, -1, -1, -1)]), columns=8),
           alt="Two rows of eight small portraits. In the upper row all differ; in the lower row it is eight times the same.")

# %% [markdown]
# You see it at once, because you look at the row.
#
# > **Predict.** A generator repeats one flawless portrait, copied from the world. The discriminator judges each image alone. Do the
# > copies pass for real?

# %%
def small_discriminator(group_size):
    torch.manual_seed(3)
    D = pggan.Discriminator(16, channels={4: 32, 8: 16, 16: 8}, group_size=group_size)
    return D, torch.optim.Adam(D.parameters(), lr=0.003, betas=(0.0, 0.99))


def learn(optimizer, real_logits, fake_logits):
    optimizer.zero_grad()
    losses.discriminator_loss(real_logits, fake_logits).mean().backward()
    optimizer.step()


D, optimizer = small_discriminator(group_size=1)
copies = held_out[8:9].expand(32, -1, -1, -1)
others = torch.cat([held_out[:8], held_out[9:]])
for step in range(51):
    if step in (10, 50):
        print(f"after {step} steps D gives the copies a probability of {D(copies)[0].sigmoid():.1f} of being real; "
              f"it calls a share of {(D(others) > 0).float().mean():.1f} of the other held-out portraits real")
    learn(optimizer, D(reals[torch.randint(len(reals), [32])]), D(copies))

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# No. An image that makes up half of what $D$ sees, and is always fake there, is soon called fake, however flawless it is. $D$ need
# not know that the copies are equal. So no generator can hide behind one portrait for long.
# </details>
#
# So $D$ does notice. Why, then, do generators collapse? The trouble is what the generator learns from it (Salimans et al. 2016,
# §3.2). $D$ judges the images one by one, so **equal images get equal gradients**. All copies move on together to whatever $D$
# thinks real at the moment; $D$ learns that this is fake, too; they move on again. Nothing tells them to become different from
# each other.
#
# What could? $D$ has to see several images at once. Let it play another game: told apart are groups of four different portraits and
# groups of four times the same one, another one each time, all of them from the world.
#
# > **Predict.** A discriminator that judges each image alone: how often is it right on new groups, after 200 steps?

# %%
def four_and_four(pool, groups):
    """Portraits for `groups` groups of four different ones and as many groups of copies; strided, as the discriminator groups
    them."""
    images = pool[torch.randint(len(pool), [4, 2 * groups])]
    images[:, groups:] = images[:1, groups:]
    return images.flatten(0, 1)


def trained(group_size, steps=200):
    D, optimizer = small_discriminator(group_size)
    kinds = lambda images: D(images).reshape(4, 2, -1).unbind(dim=1)          # logits of the different ones, and of the copies
    for _ in range(steps):
        learn(optimizer, *kinds(four_and_four(reals, 8)))
    with torch.no_grad():
        different, copies = kinds(four_and_four(held_out, 256))
    return ((different > 0).float().mean() + (copies < 0).float().mean()).item() / 2


for name, group_size in (("each image alone", 1), ("with the statistic of four", 4)):
    print(f"{name:27s} right in about {10 * round(10 * trained(group_size))} % of the cases")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# As often as a coin. Which portrait is repeated changes each time, so a single image of either kind is simply a portrait of the
# world, and there is nothing to learn.
# </details>
#
# The second line is a discriminator that sees a statistic of the batch (§3). Take a group of four samples. For each feature at each
# pixel, take the standard deviation over the four. Average all of them to **one number**. Append it, as one more constant feature
# map, to each of the four. PGGAN does so at 4 × 4, before the last convolution; there the features are about the whole image. If
# the generator repeats itself the number is small, and $D$ learns what a small number means.
#
# Does its gradient make the outputs spread? Watch it in the plane. The reals lie in six spots on a circle. The generator's outputs
# are 32 points that begin in one of the spots, a millionth apart, and each of them follows the gradient of $D$.

# %%
class PlaneD(nn.Module):
    """Points [N, 2] → logits [N], judged one by one or with the statistic of four."""

    def __init__(self, group_size):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2))
        self.head = nn.Sequential(nn.Linear(65, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        self.group_size = group_size

    def forward(self, x):
        return self.head(ops.minibatch_stddev(self.body(x)[:, :, None, None], self.group_size).flatten(1))[:, 0]


angle = torch.arange(6) * torch.pi / 3
spots = torch.stack([angle.cos(), angle.sin()], dim=1)


# %%
def chase(group_size, steps=300):
    """The places of the points at every step, [steps, 32, 2]."""
    torch.manual_seed(0)
    x, D, path = spots[:1] + 1e-6 * torch.randn(32, 2), PlaneD(group_size), []
    optimizer = torch.optim.Adam(D.parameters(), lr=0.002, betas=(0.0, 0.99))
    for _ in range(steps):
        path.append(x)
        learn(optimizer, D(spots[torch.randint(6, [32])] + 0.05 * torch.randn(32, 2)), D(x))
        x = x.clone().requires_grad_()
        gradient, = torch.autograd.grad(losses.generator_loss(D(x)).sum(), x)
        x = (x - 0.1 * gradient).detach()
    return torch.stack(path)


paths = {"each image alone": chase(1), "with the statistic of four": chase(4)}

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6))
for ax, (name, path) in zip(axes, paths.items()):
    ax.plot(path[:, :, 0], path[:, :, 1], color="#999999", linewidth=0.5)
    ax.scatter(*spots.T, s=150, color=plots.COLORS[0], alpha=0.3)
    ax.scatter(*path[-1].T, s=12, color=plots.COLORS[1], zorder=3)
    ax.set(title=name, xlim=(-2, 2), ylim=(-2, 2), xticks=[], yticks=[], aspect="equal")
plots.show(fig, alt="Two panels with six blue spots on a circle and the paths of 32 points. Judged alone, all points follow one "
                    "path that runs around the circle again and again, and end in one place. With the statistic of four the paths "
                    "part, and the points end in all six spots.")
for name, path in paths.items():
    apart, near = torch.cdist(path[-1], path[-1]).max(), torch.cdist(path[-1], spots).argmin(dim=1).unique()
    visited = [spot for spot, at in zip(torch.cdist(path[:, 0], spots).argmin(dim=1).tolist(),
                                        torch.cdist(path[:, 0], spots).amin(dim=1)) if at < 0.25]
    moves = sum(a != b for a, b in zip(visited, visited[1:]))
    print(f"{name:27s} the first point moves to another spot {'ten times or more' if moves >= 10 else 'a few times at most'}; at "
          f"the end the points are up to {apart:.0f} apart and nearest to {len(near)} of the 6 spots")
    assert (moves >= 10, len(near)) == {"each image alone": (True, 1), "with the statistic of four": (False, 6)}[name]

# %% [markdown]
# Judged alone, the points run from spot to spot as one: 32 outputs are worth one. With the statistic, a millionth of difference is
# enough for $D$ to push them apart, and after 300 steps they lie in all six spots. (Were they *exactly* equal,
# its gradient would move them together, too.)
#
# Three conventions, which codes get wrong: the groups are **strided** (with 8 samples, samples 0, 2, 4, 6 and 1, 3, 5, 7), the
# variance is **biased** (divided by 4, not by 3), and $10^{-8}$ is added inside the root.
#
# ### Exercise 3 · minibatch_stddev
#
# `x` is $[N, C, H, W]$; return $[N, C + 1, H, W]$. A batch smaller than `group_size` is one group. Otherwise $N$ is a multiple of
# it. Gradients must pass through it: they are what tells $G$ to spread out. In the proof a small discriminator plays the game
# above, with half of its groups made of copies.

# %%
def minibatch_stddev(x, group_size=4):
    return ____


ex.minibatch_stddev.check(minibatch_stddev)

# %% [markdown]
# Here is the number itself, on pixels instead of features: the standard deviation in groups of four portraits, of the world and of
# the generator at the end of its first stages.

# %%
for stage in ("4", "8", "16"):
    small = zoo.load("pggan-portraits-64", stage)
    fakes = small(torch.randn(256, small.z_dim, generator=torch.Generator().manual_seed(2)))
    world = ops.downscale2d(held_out, 16 // small.resolution) if small.resolution < 16 else held_out
    number = lambda images: ops.minibatch_stddev(images)[:, 3].mean()
    print(f"{small.resolution:2d} px: the world {number(world):.2f}, the generator {number(fakes):.2f}")

# %% [markdown]
# The generator is a little less varied than the world, and far from repeating itself.
#
# > **Predict.** To save time, the training loop gives reals and fakes to $D$ as one batch. What does it have to take care of?
#
# <details><summary><b>Answer</b></summary>
#
# No group may hold both: its number would say nothing about either, and a fake would be excused by the reals beside it. With
# strided groups, putting the fakes *behind* the reals does exactly that. `judge_both` in `course_lib/training/stylegan2.py`
# interleaves them, so that the result equals that of two passes.
# </details>
#
# ## A critic on a leash
#
# PGGAN is trained with the Wasserstein loss. The discriminator, here called **critic**, gives any number, high for real, and
#
# $$\mathcal L_D = D(G(z)) - D(x) \qquad \mathcal L_G = -D(G(z))$$
#
# > **Predict.** You multiply the critic's last layer by 10. What happens to $\mathcal L_D$, if it was $-3$? What has the critic
# > learnt?
#
# <details><summary><b>Answer</b></summary>
#
# It becomes $-30$, and the critic has learnt nothing. So training will do exactly that, without end, and the gradients that the
# generator gets grow with it. A difference of logits only means something if the *slope* of the critic is bounded: the theory
# asks for at most 1.
# </details>
#
# WGAN-GP (Gulrajani et al. 2017) asks for it with a penalty. Where? Between the two: at $\hat x$, a random point on the straight
# line from a real to a fake,
#
# $$\hat x = (1-\epsilon)\,x + \epsilon\, G(z) \quad \epsilon \sim U(0, 1) \qquad
# \mathcal L_{GP} = \lambda\, \big(\lVert \nabla_{\hat x} D(\hat x) \rVert - 1\big)^2 \quad \lambda = 10$$
#
# In the plane you can see it. The reals lie on a ring, the fakes in a blob, and only the critic is trained. (Points are images of
# one pixel with two colours here, so that the library's function takes them.)

# %%
def points(n):
    angle = 2 * torch.pi * torch.rand(n)
    ring = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.1 * torch.randn(n, 2)
    return ring[:, :, None, None], (0.2 * torch.randn(n, 2) + torch.tensor([0.3, 0.0]))[:, :, None, None]


def train_critic(weight, steps=800):
    """A critic, and its mean slope between reals and fakes at every step."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    critic, found = lambda x: net(x)[:, 0], []
    optimizer = torch.optim.Adam(net.parameters(), lr=0.002, betas=(0.0, 0.99))
    for _ in range(steps):
        real, fake = points(64)
        penalty = losses.gradient_penalty(critic, real, fake).mean()
        loss = losses.wasserstein_discriminator_loss(critic(real), critic(fake)).mean() + weight * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(mean_slope(critic, torch.lerp(real, fake, torch.rand(64, 1, 1, 1))))
    return critic, found


def mean_slope(critic, x):
    grads, = torch.autograd.grad(critic(x.requires_grad_()).sum(), x)
    return grads.flatten(1).norm(dim=1).mean().item()


free, held = train_critic(0), train_critic(10)

# %%
axis = torch.linspace(-2, 2, 101)
plane = torch.stack(torch.meshgrid(axis, axis, indexing="xy")).flatten(1).T[:, :, None, None]
real, fake = (x[:, :, 0, 0] for x in points(200))
fig, axes = plt.subplots(1, 3, figsize=(9, 3), width_ratios=(1, 1, 1.3))
for ax, (critic, _), name in zip(axes, (free, held), ("without penalty", "λ = 10")):
    with torch.no_grad():
        values = critic(plane).reshape(101, 101)
    contours = ax.contour(axis, axis, values, levels=8, colors="#666666", linewidths=0.8)
    ax.clabel(contours, fontsize=7, fmt="%g")
    ax.scatter(*real.T, s=4)
    ax.scatter(*fake.T, s=4)
    ax.set(title=name, xlim=(-2, 2), ylim=(-2, 2), xticks=[], yticks=[])
for (_, slopes), name in zip((free, held), ("without penalty", "λ = 10")):
    axes[2].plot(slopes, label=name)
axes[2].set(yscale="log", xlabel="steps", ylabel="slope between them")
axes[2].legend()
plots.show(fig, alt="Contours of two critics over reals on a ring (blue) and fakes in a blob (orange). Without a penalty the slope "
                    "between them keeps rising; with it the slope stays near 1.")

# %%
real, fake = points(2000)
for name, (critic, slopes) in (("without penalty", free), ("λ = 10", held)):
    with torch.no_grad():
        above = (critic(real)[:, None] > critic(fake)).float().mean()
    assert above > 0.95
    print(f"{name:16s} slope after 20, 100 and 800 steps, to the nearest power of 10: "
          + ", ".join(f"{10 ** round(math.log10(slopes[i - 1])):,}" for i in (20, 100, 800))
          + f"; D(real) > D(fake) in {above:.1f} of the pairs")

# %% [markdown]
# Both critics put nearly every real above nearly every fake. The one without a penalty gets steeper as long as you train it; the
# one with a penalty has found its slope and stays.
#
# ### Exercise 4 · gradient_penalty
#
# `critic` maps images $[N, 3, H, W]$ to logits $[N]$, and `mix` $[N]$ holds each pair's $\epsilon$. Return $(\lVert\nabla D(\hat
# x)\rVert - t)^2 / t^2$ for each image, $[N]$, without $\lambda$. PGGAN's target $t$ is 1. Differentiate the **sum** of the
# logits; the critic is trained on the result, so it must itself be differentiable. Use `torch.autograd.grad`: the call may leave no
# gradient in the critic's parameters, and no mark on `reals` and `fakes`.

# %%
def gradient_penalty(critic, reals, fakes, target, mix):
    return ____


ex.gradient_penalty.check(gradient_penalty)

# %% [markdown]
# One thing the penalty leaves open: all logits may drift together, for only their difference counts. PGGAN adds $0.001\, D(x)^2$
# to hold them near zero. Later generators return to the logistic loss of lesson 00 with R1, which asks for a slope of 0 at the
# reals (lesson 06).
#
# ## Measured: without one of them
#
# Small networks of 32 × 32 pixels, trained at full size from the start on 280,000 images, two seeds each: with all four
# ingredients, and without one of three (`python experiments/compare.py ingredients --parallel 4` on one H100; the fourth, the
# penalty, is in all of them). Frechet, precision and recall are those of lesson 00. **MS-SSIM** is the mean structural similarity
# of pairs of portraits, and **entropy** the mean over the attributes that the judge reads, in bits: low similarity and high
# entropy mean variety. `activation` is the largest output of any convolution of the generator. ± is half the difference of the
# two seeds.

# %%
COLUMNS = {"frechet": 0, "precision": 2, "recall": 3, "ms_ssim": 2, "entropy": 2, "activation": 1}          # and their digits


def table(measured, snapshot):
    rows = {name: [run["curve"][snapshot] for run in seeds.values()] for name, seeds in measured["runs"].items()}
    print(f"after {next(iter(rows.values()))[0]['images'] / 1000:3.0f} thousand images" + "".join(f"{key:>13s}" for key in COLUMNS))
    for name, found in rows.items():
        print(f"{name:27s}", end="")
        for key, digits in COLUMNS.items():
            values = [row[key] for row in found]
            half = f"±{(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
            print(f"{f'{sum(values) / len(values):.{digits}f}{half}':>13s}", end="")
        print()


ingredients = json.loads((zoo.DATA / "results" / "ingredients.json").read_text())
for snapshot in (0, 4, -1):
    table(ingredients, snapshot)
    print()
judge, world = zoo.load("judge-portraits-64"), torch.cat([images for images, _ in portraits.batches(512, seed=4, resolution=32)])
pairs = torch.cat([world[torch.randperm(len(world))] for _ in range(10)])
with torch.no_grad():
    print(f"{'portraits of the world':66s}{metrics.mean_ms_ssim(pairs):13.2f}"
          f"{style_analysis.entropy(classifiers.predict(judge, world)):13.2f}")


# %%
def panels(measured):
    fig, axes = plt.subplots(1, 3, figsize=(9, 3))
    for ax, key, label in zip(axes, ("frechet", "ms_ssim", "activation"),
                              ("frechet", "MS-SSIM", "largest output of a convolution")):
        for color, (name, seeds) in zip(plots.COLORS, measured["runs"].items()):
            for i, run in enumerate(seeds.values()):
                ax.plot([row["images"] / 1000 for row in run["curve"]], [row[key] for row in run["curve"]], color=color, marker="o",
                        ms=3, label=None if i else name)
        ax.set(xlabel="thousand images", title=label, ylim=(0, None))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9)
    return fig


plots.show(panels(ingredients), alt="Fréchet distance, MS-SSIM and largest activation over 280 thousand images, one line for each "
                                    "run. Without equalized learning rate the distance jumps and stays far above the others, "
                                    "MS-SSIM begins at 1, and the activations are several times larger. "
                                    "The other lines nearly coincide.")

# %% [markdown]
# > **Read the tables.** Which ingredient's absence shows, and in which column? Which claim do they not support?
#
# <details><summary><b>Answer</b></summary>
#
# **Equalized learning rate**: without it nothing works here. The outputs escalate to several times those of the others. After
# 20,000 images MS-SSIM is near 1: *all* portraits are the same. That is mode collapse; both runs come out of it, and one of them
# falls back twice and ends in it. They had pixel norm and the minibatch standard deviation, and those did not prevent it. One
# cause is plain: at the same learning rate, layers with many inputs take steps many times as large. So this compares two paces as
# well as two kinds of weights. Whether a smaller learning rate would have saved these runs, it does not tell.
#
# **Pixel norm**: without it the generator begins more slowly: after 20,000 images it has the larger distance and less variety,
# with either seed. Then it catches up: at the end its distance is the same. A little variety is still missing, in recall and
# entropy, with either seed. Its outputs begin smaller and grow by a larger factor, but they do not run away. The paper (§4.2)
# finds as much: pixel norm changes little on most data, and helps when signals do escalate.
#
# **Minibatch standard deviation**: no column gets worse without it; recall even ends a little higher. All these recalls are
# tiny and there are two seeds, so read no more into it, nor into the difference that pixel norm makes. Nothing collapses in
# these runs, with it or without it, so there is nothing to prevent.
# </details>
#
# The paper *adds* one ingredient after another, on CelebA (Table 1, as reported there; sliced Wasserstein distance averaged over
# the levels; for both columns lower is better):
#
# | | SWD | MS-SSIM |
# |---|---|---|
# | (d) growing, small batch, revised parameters | 8.07 | 0.3027 |
# | (e) + minibatch standard deviation | 7.04 | 0.2950 |
# | (f) + equalized learning rate | 4.39 | 0.2902 |
# | (g) + pixel norm | 3.56 | 0.2845 |

# %% [markdown]
# ## Summary
#
# - Layers multiply: a factor in each of eight layers is nearly its eighth power in the end. Pixel norm leaves the factor of the
#   last one.
# - Adam moves each weight by about the learning rate. Weights of $N(0, 1)$, scaled each time they are used, make that one pace
#   for all layers.
# - A discriminator that judges images one by one does call a repeated portrait fake. But equal images get equal gradients, so the
#   generator moves on to another portrait instead of spreading. One number for each group of four lets its gradients differ.
# - A difference of logits has no scale; the gradient penalty gives it one by holding the critic's slope near 1.
# - Measured at this size: without equalized learning rate outputs escalate and variety is lost, without pixel norm learning
#   begins more slowly, and the minibatch standard deviation has nothing to do.
#
# **Read next**: §3, §4 and App. A of the [PGGAN paper](https://arxiv.org/abs/1710.10196);
# [WGAN-GP](https://arxiv.org/abs/1704.00028), where the penalty comes from; `course_lib/networks/pggan.py` and
# `course_lib/training/growing.py`, which run what you wrote. In [lesson 05](05_demodulation.ipynb) you meet the normalisations
# that took the place of pixel norm.
