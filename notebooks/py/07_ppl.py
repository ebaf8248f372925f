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
# # 07 · Perceptual path length: how straight is the way from face to face?
#
# > **The claim** (Karras et al. 2019, §4): the mapping network unfolds the space of latents. Along a path in $W$ the image
# > changes less, and more evenly, than along a path in $Z$, and attributes are separated by planes in $W$ that are curved in $Z$.
#
# You will
#
# - interpolate between two latents, and see why in $Z$ that means walking on a sphere (**slerp**);
# - see why a distance of pixels will not do, and what a perceptual distance sees instead;
# - write the terms of **perceptual path length** (PPL) and watch them along a path, in $Z$ and in $W$;
# - write the **entropy** behind linear separability, and read off which attributes $W$ separates better.
#
# 60–75 minutes. You need lesson 00; lesson 06 is a good neighbour.

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch

from course_lib import exercises, metrics, ops, plots, portraits, widgets, zoo
from course_lib.exercises import ____

torch.manual_seed(0)
torch.set_grad_enabled(False)
ex = exercises.lesson("07")
G = zoo.load("stylegan2-portraits-64")

# %% [markdown]
# ## A straight line through an empty room
#
# $z$ has 256 entries, each drawn from $N(0, 1)$. How long is such a vector?
#
# > **Predict.** Where do 1,000 latents lie: mostly near the origin, where the density is highest, or in a shell? And the
# > midpoints between two of them?

# %%
z = torch.randn(2, 1000, G.z_dim, generator=torch.Generator().manual_seed(1))
middle = (z[0] + z[1]) / 2
fig, ax = plt.subplots(figsize=(7, 2.5))
ax.hist(z[0].norm(dim=1), bins=np.arange(0, 20, 0.2), label="latents")
ax.hist(middle.norm(dim=1), bins=np.arange(0, 20, 0.2), label="midpoints of two")
ax.set(xlim=(0, 20), xlabel="length", ylabel="of 1,000")
ax.legend()
plots.show(fig, alt="Histogram of the lengths of 1,000 latents and of 1,000 midpoints: two narrow shells that do not overlap.")
angles = torch.rad2deg(torch.acos(torch.cosine_similarity(*z)))
print(f"latents {z[0].norm(dim=1).mean():.1f} ± {z[0].norm(dim=1).std():.1f}, midpoints {middle.norm(dim=1).mean():.1f} ± "
      f"{middle.norm(dim=1).std():.1f}; angle between two latents {angles.mean():.0f}°")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# All in a thin shell of radius $\sqrt{256} = 16$, and any two at nearly a right angle. The midpoints lie at $16 / \sqrt 2 \approx
# 11.3$, where no latent of the training ever was.
# </details>
#
# So a path in $Z$ should stay in the shell. **Slerp** (Shoemake 1985) walks along the great circle from the direction of $a$ to
# that of $b$, in equal angles. With $\theta$ the angle between them,
#
# $$\mathrm{slerp}(a, b; t) = \frac{\sin\big((1-t)\theta\big)}{\sin\theta}\,\hat a + \frac{\sin(t\,\theta)}{\sin\theta}\,\hat b
# \qquad \hat a = a/\lVert a\rVert,\; \hat b = b/\lVert b\rVert$$
#
# ### Exercise 1 · slerp
#
# `a` and `b` are $[\dots, D]$, `t` is a number, or $[\dots, 1]$, and may lie beyond 0 and 1. Only the *directions* of `a` and `b`
# count, and the result has length 1, also where both directions are the same and both sines are 0; of a batch, that may be one
# pair among others. No gradient is asked for. (The library writes it without a division by $\sin\theta$: the part of $\hat b$ that
# is orthogonal to $\hat a$, made a unit vector, turned by $t\theta$.)

# %%
def slerp(a, b, t):
    return ____


ex.slerp.check(slerp)

# %% [markdown]
# > **Predict.** The mapping network begins with pixel norm. Does it matter to *this* generator whether you walk on the line or on
# > the circle?

# %%
t = torch.linspace(0, 1, 8)[:, None]
a, b = z[:, :1]
rows = [G(torch.lerp(a, b, t), noise="const"), G(ops.slerp(a, b, t), noise="const")]
plots.show(plots.image_grid(torch.cat(rows), columns=8, labels=["line", "circle"], titles=[f"{x:.2f}" for x in t[:, 0]]),
           alt="Two strips of eight portraits between the same two latents, along the straight line and along the great circle: "
               "the same people, at other times.")
angles = [torch.rad2deg(torch.acos(torch.cosine_similarity(path[1:], path[:-1]).clamp(-1, 1)))
          for path in (torch.lerp(a, b, t), ops.slerp(a, b, t))]
for name, angle in zip(("line", "circle"), angles):
    print(f"{name:6s} degrees per step: " + " ".join(f"{x:4.1f}" for x in angle))

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# It draws the same portraits, for pixel norm sets every $z$ to length 16, and the line and the circle have the same directions.
# But it meets them at other times: the line hurries through the middle. A measure of *steps* needs equal steps, so it needs the
# circle. A generator without this first layer would see vectors on the line that it has never seen in training.
# </details>
#
# $W$ has no shell, its distribution has whatever shape the mapping network gave it. There the path is the straight line (lerp).
#
# ## A distance that sees what you see
#
# How far apart are two images? Counting pixels is a poor answer:

# %%
oracle = zoo.load("oracle-portraits-64")
perceptual = metrics.oracle_distance(oracle)
frown = portraits.render(portraits.attributes(smile=-0.6), 64)
changed = {"brighter": (frown + 0.1).clamp(-1, 1), "smile": portraits.render(portraits.attributes(smile=0.6), 64),
           "open mouth": portraits.render(portraits.attributes(smile=-0.6, mouth_open=0.8), 64), "moved by 1": frown.roll(1, 3),
           "glasses": portraits.render(portraits.attributes(smile=-0.6, glasses="round"), 64)}
plots.show(plots.image_grid(torch.cat([frown, *changed.values()]), columns=6, scale=2, titles=["original", *changed]),
           alt="A frowning portrait, and the same a little brighter, smiling, with an open mouth, moved by one pixel, "
               "and with glasses.")
for name, image in changed.items():
    print(f"{name:11s} pixels {(image - frown).square().mean().sqrt():.3f}   perceptual "
          f"{perceptual(image, frown).item() ** 0.5:.2f}")

# %% [markdown]
# To the pixels, a little more light is three times as far as a smile. A **perceptual distance** $d$ (Zhang et al. 2018) compares
# the *feature maps* of a trained network, at every place and resolution; each feature vector is set to length 1 first. It is a
# squared distance, so its root stands above. Light now counts less than the smile, and an open mouth more. It is no oracle of
# what *you* see: it compares place by place, so moving everything by one pixel still counts most.
#
# The papers take VGG with learnt weights (LPIPS). Here the maps are those of the network that learnt to read portraits, the
# oracle. So our numbers are on a scale of their own: compare them with each other, never with a PPL from a paper.
# (`metrics.lpips_distance` takes LPIPS's weights where you have them.)
#
# ## Perceptual path length
#
# Take a tiny step $\epsilon$ along the path between two random latents and measure the perceptual distance $d$ of the two images.
# $d$ grows with the square of a small step, so divide by $\epsilon^2$. PPL is the mean over many paths and places:
#
# $$l_W = \mathbb E\Big[\tfrac{1}{\epsilon^2}\,
# d\big(g(\mathrm{lerp}(w_1, w_2; t)),\; g(\mathrm{lerp}(w_1, w_2; t + \epsilon))\big)\Big]
# \qquad t \sim U(0, 1) \qquad\text{(StyleGAN, Eq. 3)}$$
#
# and in $Z$ the same with slerp (Eq. 2). Intuition: a path from one man with glasses to another should not pass through a woman
# without. Where it does, the image makes detours. PPL is the mean *squared* speed of the image along the path, so detours and
# jumps weigh heavily.
#
# ### Exercise 2 · path_terms
#
# Write the terms of that mean. `render(latents)` gives images, `distance(images, images)` gives $[N]$, and `between(a, b, t)` is
# the path: `torch.lerp` or `ops.slerp`. `t` is $[N, 1]$. Return $[N]$.

# %%
def path_terms(render, distance, between, a, b, t, epsilon=1e-4):
    return ____


ex.path_terms.check(path_terms)

# %% [markdown]
# > **Predict.** One path, from the first latent to the second, in $Z$ and in $W$. Both begin with the same portrait and end with
# > the same. Which makes the image go faster, and where?

# %%
t = torch.linspace(0, 0.99, 45)


def local_lengths(first=0, second=1):
    """Terms of PPL along one path, in Z and in W, at equal steps of t. ε is 0.01: in float32 a smaller one drowns in rounding."""
    za, zb = (z[0, i].expand(len(t), -1) for i in (first, second))
    return [metrics.path_lengths(G, perceptual, za, zb, t, space, epsilon=0.01, noise="const") for space in ("z", "w")]


def along(first, second, steps):
    """Portraits along one path in Z, and between the same two along the path in W."""
    t = torch.linspace(0, 1, steps)[:, None]
    za, zb = z[0, [first]], z[0, [second]]
    through_z = G.mapping(ops.slerp(za, zb, t))
    through_w = torch.lerp(G.mapping(za), G.mapping(zb), t[1:-1])                          # the ends are the same
    in_z, in_w = G.synthesis(torch.cat([through_z, through_w]), noise="const").split([steps, steps - 2])
    return in_z, torch.cat([in_z[:1], in_w, in_z[-1:]])


# %%
in_z, in_w = local_lengths()
fig, axes = plt.subplots(3, 1, figsize=(7, 4.6), sharex=True, height_ratios=(2.4, 1, 1))
for ax, space, terms, images in zip(axes[1:], ("in Z", "in W"), (in_z, in_w), along(0, 1, 8)):
    axes[0].plot(t, terms.sqrt(), label=space)
    ax.imshow(plots.image_grid(images, columns=8, scale=2), extent=(-1 / 14, 15 / 14, 0, 1 / 7), aspect="auto")
    ax.set(ylabel=space, yticks=[])
    ax.grid(False)
axes[0].set(ylabel="√d / ε, the speed", ylim=(0, None))
axes[2].set(xlabel="t")
axes[0].legend()
plots.show(fig, alt="The speed of the image along one path in Z and in W, and below it eight portraits of either path, each under "
                    "its t. Both curves have a few high peaks, where hair, glasses, clothes or background change.")
print(f"mean of d / ε² over this path: {in_z.mean():.0f} in Z, {in_w.mean():.0f} in W")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Each peak is a place where something flips between two neighbouring portraits: the hair, the glasses, the clothes, the
# background. PPL is a mean of *squares*, so the few highest peaks decide it, and on a single path it may come out either way.
# </details>
#
# But one path proves nothing. Choose others:

# %%
def strip(first=3, second=9):
    rows = torch.stack(along(first, second, 3))
    speeds = 2 * perceptual(rows[:, 1:].flatten(0, 1), rows[:, :-1].flatten(0, 1)).sqrt().view(2, 2)   # a step: half the path
    strips = [plots.under_bars(row, [0, *speed], top=speeds.max()) for row, speed in zip(rows, speeds)]
    return plots.image_grid(torch.stack(strips), columns=1, labels=["in Z", "in W"])


widgets.explorer(strip, first=(0, 19), second=(0, 19), delay=0.1,
                 alt="The ends and the middle of a path between two latents, in Z above and in W below; over middle and end a bar, "
                     "the way from the portrait before.")

# %% [markdown]
# The bar over a portrait is the way from the one before: the root of $d$ over the step, the image's mean speed. Here two bearded
# men are the ends. In $Z$ there is a moustache in the middle, and brown hair; in $W$ a third bearded man. Steps this
# long cut corners, so the bars differ less than the curves above. (With `first` and `second` equal there is no way.)
#
# ## Measured: PPL in Z and in W
#
# `python experiments/smoothness.py pggan-portraits-64 stylegan-portraits-64 stylegan2-portraits-64-nopl stylegan2-portraits-64
# --pairs 1000`: 1,000 pairs each (the papers take 50,000 or more), $\epsilon = 10^{-4}$ in float64. "Full" draws $t$ anywhere on
# the path, "end" only at its beginning, where the latents themselves are. As published, the mean leaves out what lies beyond the
# 1st and 99th percentile. PGGAN has no mapping network, so no $W$. The one called "nopl" is lesson 06's ablation of StyleGAN2,
# trained without path-length regularization, and on 2 % fewer images.
#
# > **Predict.** In one of the two spaces "end" and "full" should be the *same* number. Which, and why?

# %%
models = json.loads((zoo.DATA / "results" / "smoothness.json").read_text())["models"]
names = ["pggan-portraits-64", "stylegan-portraits-64", "stylegan2-portraits-64-nopl", "stylegan2-portraits-64"]
kinds = {"ppl_z_full": "Z, full", "ppl_z_end": "Z, end", "ppl_w_full": "W, full", "ppl_w_end": "W, end"}
fig, ax = plt.subplots(figsize=(7, 3.2))
print(f"distance: {models[names[0]]['ppl_z_full']['distance']}")
print(f"{'':29s}" + "".join(f"{kind:>9s}" for kind in kinds.values()) + "   frechet")
for i, (key, kind) in enumerate(kinds.items()):
    rows = {place + i / 6: models[name][key] for place, name in enumerate(names) if key in models[name]}
    low, mean, high = ([row[part] for row in rows.values()] for part in ("low", "mean", "high"))
    ax.errorbar(mean, list(rows), xerr=(np.subtract(mean, low), np.subtract(high, mean)), fmt="o", label=kind)
for name in names:
    quality = json.loads((zoo.DATA / "results" / f"{name}.json").read_text())["model"]
    print(f"{name:29s}" + "".join(f"{models[name][key]['mean']:9.0f}" if key in models[name] else f"{'–':>9s}" for key in kinds)
          + f"{quality['frechet']:10.0f}")
ax.set_yticks([place + 0.25 for place in range(4)],
              [name.removesuffix("-portraits-64").replace("-portraits-64-", ", ") for name in names])
ax.set(xscale="log", xlabel="PPL, mean and 95 % interval")
ax.invert_yaxis()
ax.legend()
plots.show(fig, alt="PPL of four generators with 95 % intervals, in Z and W, full and at the ends. PGGAN's Z lies lowest of all. "
                    "In the three others W lies below Z. StyleGAN2 without path-length regularization lies highest, "
                    "with the widest intervals.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# In $Z$: a random great circle has no special points, so its beginning is as good as any. Ours agree within their intervals, and
# so do the paper's for its baseline, measured in $Z$: 412.0 and 415.3, as reported there. In $W$ the ends are special: there the
# latents are ones that the mapping network makes. In between, a straight line may leave the region that it fills.
# </details>
#
# What the figure shows, interval against interval:
#
# - In each of the three generators that have a $W$, PPL is lower in $W$ than in its own $Z$, by more than half. (The
#   intervals overlap only at the ablation's ends.)
# - PGGAN, which has no mapping network, is smoother in its $Z$ than the others in their $W$. The paper finds the opposite: 412.0 in
#   the $Z$ of its baseline without a mapping network, 234.0 in $W$.
# - Without path-length regularization all four values are higher, as the StyleGAN2 paper says; at the ends of $W$, which the paper
#   reports, nearly four times. (At the ends of $Z$ and on the full path in $W$ the intervals overlap; and part of it is scale, for
#   by lesson 06 the ablation is faster on average.)
# - StyleGAN and StyleGAN2 cannot be told apart in $W$.
# - A low PPL is not a better picture: the smoothest of the four has the second-highest Fréchet distance.
#
# The second point comes from a higher PPL in $Z$ with a mapping network than without one. The paper saw, too, that such a network
# bends its own $Z$: put before a *traditional* generator, it raised the separability score (below; lower is better) in $Z$ from
# 10.78 to 170.29, while that in $W$ was 6.52 (Table 4, as reported there).
#
# As reported in the papers for FFHQ, with LPIPS: StyleGAN in $W$ 234.0 full and 195.9 at the ends (Table 3, config F). Its README
# gives 664.9 in $Z$, and 233.3 and 197.2 in $W$, for the released model. The StyleGAN2 paper takes $W$ at the ends, of the whole
# image: 212.1 for StyleGAN and 145.0 for StyleGAN2, and 158.0 without path-length regularization against 122.5 with it (Table 1).
#
# ## Separability: a plane between yes and no
#
# If $W$ is unfolded, one direction should belong to one attribute. StyleGAN's test: draw many portraits, let a classifier label
# them (with glasses or without), keep the half that it is surest of, and fit a *plane* to the latents (a linear SVM). How much
# does the side of the plane tell about the label? That is the **conditional entropy**, over the four combinations of label $y$
# and side $x$:
#
# $$H(Y|X) = -\sum_{x,\,y} p(x, y)\, \ln \frac{p(x, y)}{p(x)}$$
#
# 0: the side tells all. $\ln 2 \approx 0.69$: it tells nothing about an even split. The score of a generator is $\exp \sum_i
# H(Y_i|X_i)$ over all attributes $i$.
#
# ### Exercise 3 · conditional_entropy
#
# `y` and `x` are two sequences of labels of the same length (lists or NumPy arrays of any integers, such as −1 and 1; two
# classes or more). Return $H(Y|X)$ in nats, as a Python number. Combinations that never occur count 0, not NaN.

# %%
def conditional_entropy(y, x):
    return ____


ex.conditional_entropy.check(conditional_entropy)

# %% [markdown]
# ## Measured: which attributes does W separate?
#
# 10,000 portraits of each generator; the classifier is the judge, the second reader, which took no part in training; a continuous
# attribute is halved at its median.

# %%
entropies = models["stylegan2-portraits-64"]["separability"]["entropies"]
attributes = sorted(entropies["z"], key=lambda name: entropies["z"][name] - entropies["w"][name])
fig, ax = plt.subplots(figsize=(7, 6))
for place, name in enumerate(attributes):
    ax.plot([entropies["z"][name], entropies["w"][name]], [place, place], color="#cccccc", zorder=1)
ax.scatter([entropies["z"][n] for n in attributes], range(len(attributes)), label="in Z", zorder=2)
ax.scatter([entropies["w"][n] for n in attributes], range(len(attributes)), label="in W", zorder=2)
ax.set_yticks(range(len(attributes)), attributes)
ax.set_xlabel("H(Y|X), nats")
ax.legend()
plots.show(fig, alt="Conditional entropy of every attribute of StyleGAN2 given the side of a plane, in Z and in W; in W it is "
                    "lower throughout.")
print("told best in W by StyleGAN2:", *sorted(attributes, key=entropies["w"].get)[:5])
print(f"{'sum of H(Y|X), nats':29s}{'in Z':>6s}{'in W':>6s}{'score in Z':>14s}{'score in W':>14s}   lower in W")
for name in names:
    measured = models[name]["separability"]
    entropies = measured["entropies"]
    spaces = [space for space in ("z", "w") if space in entropies]
    line = f"{name:29s}" + "".join(f"{sum(entropies[space].values()):6.1f}" for space in spaces).ljust(12)
    line += "".join(f"{measured[space]:14.1e}" for space in spaces).ljust(28)
    if "w" in spaces:
        line += f"   {sum(entropies['w'][n] < entropies['z'][n] for n in attributes)} of {len(attributes)}"
    print(line.rstrip())

# %% [markdown]
# The claim holds for every attribute, in all three that have a $W$: each is told better in $W$ than in the same generator's $Z$.
# As in the paper, the $W$ of StyleGAN2 is ahead of the $Z$ of a generator without a mapping network, though not in every
# attribute; that of StyleGAN is not. Each plane is tested on portraits that it was not fitted to, so more entries of a latent
# (PGGAN's $z$ has half as many) do not flatter it.
#
# How *low* a dot stands says less, for a rare label (a hat) is easy to guess, eight classes are harder than two, and keeping the
# surest half drops all borderline cases. So look at the lines between the dots: long for the colours of background, clothes and
# hair, for pitch and for glasses; short for the hat, freckles, the nose, or the length of the hair. The scores are
# large because they multiply over 30 attributes, some of seven or eight classes.
#
# The StyleGAN paper reports 10.78 in $Z$ for its baseline, and 3.5 to 3.8 in $W$, with 40 attributes of two classes each.
#
# ## Summary
#
# - Latents live in a shell. Slerp stays in it, and moves at an even speed.
# - A perceptual distance compares feature maps; its scale belongs to its network.
# - PPL is the mean squared speed of the image along random paths. It is measured at $\epsilon \to 0$, so mind the rounding.
# - Here $W$ is smoother than the $Z$ of the same generator, and in one pair of runs smoother with path-length regularization
#   than without, as the papers say; but not smoother than the $Z$ of PGGAN.
# - Separability asks how well a plane in the space of latents predicts an attribute. Here every attribute is told better in $W$
#   than in the same generator's $Z$.
#
# **Read next**: §4 of the [StyleGAN paper](https://arxiv.org/abs/1812.04948); [LPIPS](https://arxiv.org/abs/1801.03924);
# `course_lib/metrics/path_length.py` and `linear_separability.py`. For your own generator: `python -m course_lib.metrics FILE ppl
# separability`.
