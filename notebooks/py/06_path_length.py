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
# # 06 · Path length: equal steps in w, equal steps in the image
#
# > **The claim** (Karras et al. 2020, §3): a generator is better, and easier to invert, when a step of a given size in $W$
# > changes the image by a given amount, wherever you stand and whichever way you go. A regularizer can ask for that, from one
# > backward pass, and a second one through it to train.
#
# You will
#
# - walk through $W$ in equal steps and measure the steps that the image makes;
# - look at all 256 directions at once, and then find the trick that makes this cheap enough for training;
# - write the **path lengths** and their **penalty**, and check them on the trained generator;
# - find images again: portraits of the world, the generator's own, and one that you design;
# - in an optional part, write **R1** and the constants of **lazy regularization**.
#
# 90–120 minutes. You need lesson 00.

# %%
import json

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from course_lib import exercises, inversion, losses, metrics, plots, portraits, widgets, zoo
from course_lib.exercises import ____

torch.manual_seed(0)
ex = exercises.lesson("06")
G = zoo.load("stylegan2-portraits-64")

# %% [markdown]
# ## Equal steps
#
# Take a latent $w$ and a direction $u$ of length 1, and walk: $w,\; w + h u,\; w + 2 h u, \dots$ All noise stays as it is, so
# only $w$ moves. (Two latents of this generator are some 11 apart, so $h = 2$ is a fair step.) The size of a step of the *image*
# is the length of the difference of two neighbours, over all pixels and colours, divided by $h$. Pixels are a crude measure,
# lesson 07 has a better one; but the regularizer works on pixels too, for they need no other network.

# %%
w = G.mapping(torch.randn(8, G.z_dim, generator=torch.Generator().manual_seed(1)))
directions = F.normalize(torch.randn(16, G.w_dim, generator=torch.Generator().manual_seed(2)), dim=1)


@torch.no_grad()
def draw(ws):
    return G.synthesis(ws, noise="const")


def walk(latent=0, direction=0, h=2.0):
    """Seven portraits, and the six steps between them for a step of 1 in w."""
    images = draw(w[latent] + h * torch.arange(7)[:, None] * directions[direction])
    return images, (images[1:] - images[:-1]).flatten(1).norm(dim=1) / h


# %%
def strip(latent=0, direction=0, h=2.0):
    images, steps = walk(latent, direction, h)
    return plots.image_grid(images, columns=7, titles=["start"] + [f"{s:.1f}" for s in steps])


strips = [walk(latent, direction) for latent, direction in ((0, 0), (0, 5), (5, 0), (7, 0))]
plots.show(plots.image_grid(torch.cat([images for images, _ in strips]), columns=7,
                            labels=[f"{steps.mean():.1f}" for _, steps in strips]),
           alt="Four walks of six equal steps in W. The number left of each row is the mean step of its image; the rows differ.")

# %% [markdown]
# The number is the mean step of the image for a step of 1 in $w$. Walk yourself; over each portrait stands the step that led to
# it.

# %%
widgets.explorer(strip, latent=(0, 7), direction=(0, 15), h=(0.5, 4.0, 0.5),
                 alt="Seven portraits along a direction of W in equal steps, with the size of each step of the image above it.")

# %% [markdown]
# > **Predict.** What changes the size of the image's step more: to go in another direction from the same $w$, or to go in the
# > same direction from another $w$? By a few percent, or by a factor?

# %%
h = 0.5
one_direction = (draw(w + h * directions[0]) - draw(w)).flatten(1).norm(dim=1) / h
one_latent = (draw(w[0] + h * directions) - draw(w[:1])).flatten(1).norm(dim=1) / h
for name, sizes in (("one direction, 8 latents", one_direction), ("one latent, 16 directions", one_latent)):
    print(f"{name:26s} from {sizes.min():.1f} to {sizes.max():.1f}, deviation {100 * sizes.std() / sizes.mean():.0f} % of the mean")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Both by a factor, and here about equally. And these are *random* directions, each a mixture of all 256. The next section looks
# for the best and the worst one.
# </details>
#
# Why would anyone mind? A slider that does nothing for a while and then turns a face into another one is a nuisance, and an
# optimizer that searches for $w$ cannot find a step size that is right everywhere. The paper's own reason (§3) is an observation:
# among generated images, those whose neighbourhood has a low perceptual path length (lesson 07) look better. Why that is so, the
# authors can only suspect. The discriminator penalises broken images, so the quickest way to improve is to stretch the region of
# $W$ that gives good ones and to squeeze the broken ones into small regions where the image changes fast.

# %% [markdown]
# ## All directions at once
#
# For a tiny step the image moves by $J u$, where $J = \partial G / \partial w$ is the Jacobian: 12,288 pixel values by 256
# entries of $w$. If all directions were equal, all 256 singular values of $J$ would be the same. Here they are, at two latents,
# from 256 finite differences each.

# %%
def singular_values(w, h=0.1):
    J = (torch.cat([draw(w + part) for part in (h * torch.eye(G.w_dim)).split(64)]) - draw(w[None])).flatten(1) / h
    return torch.linalg.svdvals(J)


spectra = [singular_values(w[i]) for i in (0, 5)]

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for name, values in zip(("one latent", "another"), spectra):
    ax.plot(range(1, 257), values, label=name)
ax.set(xlabel="direction, from the most to the least effective", ylabel="step of the image", yscale="log")
ax.legend()
plots.show(fig, alt="The 256 singular values of the Jacobian at two latents, on a logarithmic scale: they fall steeply.")
for values in spectra:
    share = values.square().cumsum(0) / values.square().sum()
    print(f"the strongest direction makes {values[0] / values.median():.0f} times the step of the median one; "
          f"directions that make 90 % of the squared length: {(share < 0.9).sum() + 1}; "
          f"(Σσ²)² / Σσ⁴ = {values.square().sum() ** 2 / values.pow(4).sum():.1f}")

# %% [markdown]
# The generator listens to a few directions and is deaf in most. (None has equal ones throughout: the world does not have 256
# things to say about a portrait.) The last figure counts the directions that share the work: 256 for equal ones, 1 for a single
# one. At these two latents it is four to six: a handful of directions does nearly everything. But 256 images for *one* latent are
# far too many for a training step.
#
# ## The trick: ask backwards
#
# Draw an image $y$ of random numbers. The number $\langle G(w), y\rangle$, the sum of products over all pixels, is one number, so
# *one* backward pass gives its gradient: $\nabla_w \langle G(w), y \rangle = J^T y$. It knows about every direction at once,
# because for any $u$
#
# $$u \cdot (J^T y) = (J u) \cdot y$$
#
# Left a gradient, right a finite difference. See whether they agree.

# %%
G64 = zoo.load("stylegan2-portraits-64").double()             # float64, for the sake of a small difference
w0 = G64.mapping(torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(1)).double()).detach().requires_grad_()
image = G64.synthesis(w0, noise="const")
y = torch.randn(image.shape, generator=torch.Generator().manual_seed(3)).double()
backwards, = torch.autograd.grad((image * y).sum(), w0)
for u in directions[:3].double():
    difference = (G64.synthesis(w0 + 1e-7 * u, noise="const") - image) / 1e-7
    print(f"u · (Jᵀy) = {(backwards[0] * u).sum():6.2f}      (J u) · y = {(difference * y).sum():6.2f}")

# %% [markdown]
# Over many $y$, the mean of $\lVert J^T y\rVert^2$ is the sum of the squared singular values. And its *spread* over $y$ tells how
# many directions share the work. With singular values $\sigma_i$, the deviation of $\lVert J^T y\rVert$ divided by its mean is
# about
#
# $$\mathrm{CV} \approx \sqrt{\frac{\sum_i \sigma_i^4}{2\,(\sum_i \sigma_i^2)^2}}
# \qquad\text{so}\qquad \frac{1}{2\,\mathrm{CV}^2} \approx \text{the number of directions that count,}$$
#
# the figure above. The more equal the directions, the less $\lVert J^T y\rVert$ changes with $y$ (256 equal ones leave 4 %), and
# it should not change with $w$ either. That is what the regularizer asks for (StyleGAN2, App. C). To keep the number comparable
# between resolutions, $y$ is divided by $\sqrt{H W}$.
#
# In training, every layer gets its own copy of $w$ (`ws`, $[N, \text{num\_ws}, \text{w\_dim}]$), so every layer has a gradient of
# its own, and their squared lengths are averaged: then the number does not grow with the number of layers.
#
# ### Exercise 1 · path_lengths
#
# `images` $[N, 3, H, W]$ were computed from `ws`, and `noise` is drawn from $N(0, 1)$ in the shape of `images`: $y$ is `noise`
# divided by $\sqrt{HW}$. Return $\lVert J^T y\rVert$ for each image, $[N]$: sum the squares over the entries of $w$, take the
# **mean over the layers**, then the root. The result has to be trained on, so it must itself be differentiable: that is what
# `create_graph=True` is for.

# %%
def path_lengths(images, ws, noise):
    return ____


ex.path_lengths.check(path_lengths)

# %% [markdown]
# ## The penalty
#
# > **Predict.** The lengths should be equal. Equal to what? What would the generator do if you pulled them to 0? To 100?
#
# <details><summary><b>Answer</b></summary>
#
# At 0 the image no longer depends on $w$: the generator draws one portrait. A fixed number such as 100 may be far from what the
# network wants, and the penalty would fight the picture. So the target is whatever the lengths are on average: a moving mean $a$.
# The penalty then only punishes *differences*.
# </details>
#
# $$\mathcal L_{pl} = \big(\lVert J^T y\rVert - a\big)^2
# \qquad a \leftarrow a + 0.01\,\big(\text{mean of this batch's lengths} - a\big) \qquad\text{(Eq. 4)}$$
#
# ### Exercise 2 · path_length_penalty
#
# `mean` is the old $a$, a number or a tensor without dimensions. Update it first, with `decay` as its step, and use the new
# value. Return the penalty of each image, $[N]$, and the new $a$. As in the official code, $a$ is **not** detached: a little of
# the gradient flows through it. You may call `losses.path_lengths`.

# %%
def path_length_penalty(images, ws, noise, mean, decay=0.01):
    return ____


ex.path_length_penalty.check(path_length_penalty)

# %% [markdown]
# Here is the moving mean $a$ of the shipped generator while it trained, and the root of the penalty divided by $a$: the relative
# standard deviation of the lengths.

# %%
log = json.loads((zoo.DATA / "results" / "stylegan2-portraits-64-training.json").read_text())["log"]
thousands = [line["images"] / 1000 for line in log]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
left.plot(thousands, [line["path_length"] for line in log])
spread = [line["path_length_penalty"] ** 0.5 / line["path_length"] for line in log]
right.plot(thousands, spread, color=plots.COLORS[1])
left.set(xlabel="thousand images", ylabel="moving mean a")
right.set(xlabel="thousand images", ylabel="√penalty / a", ylim=(0, 1))
plots.show(fig, alt="The moving mean of the path lengths rises during training, fast at first and then slowly. Their relative "
                    "standard deviation rises, too, from 0.4 to 0.6 or 0.7. After 6.2 million images the mean drops, once.")
print(f"first: a = {log[0]['path_length']:.2f}, relative standard deviation {spread[0]:.2f}; at the end "
      f"{log[-1]['path_length']:.2f} and {spread[-1]:.2f}")
assert spread[0] < 0.45 and all(0.55 < value < 0.72 for value in spread[-20:])

# %% [markdown]
# The lengths become *less* equal during training, though the regularizer asks for the opposite: their standard deviation rises
# from four tenths of their mean to six or seven tenths. (The jump comes from a second run, which continues with the networks of
# the first but begins at $a = 0$ again.) The regularizer is one of several terms, and in the same time the portraits come nearer
# to those of the data set. So what it does shows only against a generator that was trained without it.
#
# ## Measured: with and without
#
# Small generators of 32 × 32 pixels, trained on 280,000 images, with the regularizer and without it, two seeds each, on a GPU
# (`python experiments/compare.py path_length --parallel 2`). "Over w" is the relative standard deviation of the lengths from one
# latent to the next, "over y" from one direction of the image to the next. PPL is lesson 07's measure of how fast the image
# changes along a path, small for smooth. Every row is a run.

# %%
compared = json.loads((zoo.DATA / "results" / "path_length.json").read_text())
heads = ("over w", "over y", "PPL in W", "frechet, last", "lowest")
print(" " * 19 + "".join(head.rjust(len(head) + 2) for head in heads))
for name, runs in compared["runs"].items():
    for seed, run in runs.items():
        frechet = [row["frechet"] for row in run["curve"]]
        figures = [f"{run['lengths']['across_latents']:.2f}", f"{run['lengths']['across_projections']:.2f}",
                   f"{run['ppl']['ppl_w_full']:.0f}", f"{frechet[-1]:.0f}", f"{min(frechet):.0f}"]
        print(f"{name}, {seed}".ljust(19) + "".join(x.rjust(len(head) + 2) for x, head in zip(figures, heads)))

# %% [markdown]
# The regularizer does what it asks for: with it the lengths differ less in both seeds, from latent to latent and from direction
# to direction. What is hoped to follow from it is less sure. In both seeds PPL is lower, but the two kinds overlap. The Fréchet
# distance is lower at the end; but it swings during training, and of the lowest values on the way the best is one with the
# regularizer and the second best one without. Two seeds are little evidence either way, and these generators have hardly learnt
# to draw.
#
# ### The ablation at 64 pixels
#
# So look at a generator that has. `stylegan2-portraits-64-nopl` is the ablation of the shipped one: the same commands and the
# same seed, but `--pl-weight 0`. (It has seen 7.6 million images, the shipped one 7.75: its training was stopped a little
# earlier, when the learning rate was nearly 0.) Take 48 latents of each, a step of length 0.1 in a random direction from each,
# and measure how far the image goes. That is a rough look. The table below it has the lengths of $J^T y$ themselves, of 64
# latents and 16 images $y$: their mean, and the two relative standard deviations.

# %%
ablation = zoo.load("stylegan2-portraits-64-nopl")
u = F.normalize(torch.randn(48, G.w_dim, generator=torch.Generator().manual_seed(4)), dim=1)
fig, ax = plt.subplots(figsize=(7, 2.6))
for name, network in (("with the regularizer", G), ("without", ablation)):
    with torch.no_grad():
        latents = network.mapping(torch.randn(48, G.z_dim, generator=torch.Generator().manual_seed(1)))
        start, end = (network.synthesis(x, noise="const") for x in (latents, latents + 0.1 * u))
    sizes = (end - start).flatten(1).norm(dim=1)
    ax.hist(sizes / sizes.mean(), bins=[0.2 * i for i in range(31)], alpha=0.7, label=name)
    print(f"{name:21s} standard deviation {100 * sizes.std() / sizes.mean():3.0f} % of the mean, the largest "
          f"{sizes.max() / sizes.mean():.1f} times the mean")
ax.set(xlabel="step of the image, mean step = 1", ylabel="of 48 latents")
ax.legend()
plots.show(fig, alt="Histogram of the steps of the image for equal steps in W, each divided by the mean of its generator: with the "
                    "regularizer they gather nearer to 1, without it more of them are below 0.4, and one is beyond 4.")

# %%
models = json.loads((zoo.DATA / "results" / "smoothness.json").read_text())["models"]
print(f"{'':22s}over w  over y    mean  × σ of W   PPL in W, full (95 % interval)   frechet  recall")
for network, name, text in ((G, "stylegan2-portraits-64", "with the regularizer"),
                            (ablation, "stylegan2-portraits-64-nopl", "without")):
    lengths, ppl = models[name]["lengths"], models[name]["ppl_w_full"]
    sigma = inversion.w_statistics(network, torch.Generator().manual_seed(0))[1].item() / network.w_dim ** 0.5
    quality = json.loads((zoo.DATA / "results" / f"{name}.json").read_text())["model"]
    row = (f"{text:22s}{lengths['across_latents']:6.2f}{lengths['across_projections']:8.2f}"
           f"{lengths['mean']:8.2f}{lengths['mean'] * sigma:10.2f}{ppl['mean']:12.0f} ({ppl['low']:.0f} … {ppl['high']:.0f})")
    print(row.ljust(80) + f"{quality['frechet']:7.1f}{quality['recall']:8.2f}")

# %% [markdown]
# Now it shows: without the regularizer the relative standard deviation is more than 40 % higher from latent to latent, and a
# fifth higher from direction to direction. The ablation's PPL in $W$ is 1.6 times as high, though the intervals overlap. But PPL
# says little about *evenness* here. It is the mean squared speed of the image from one $w$ to another, and the ablation is simply
# faster: its mean length is twice as large, its $W$ smaller, and the product of the two, the speed for a step of one standard
# deviation $\sigma$ of an entry of $W$, 1.35 times as large. The square of that, 1.8, would explain the whole difference in PPL.
#
# The ablation's portraits are nearer to the data set, after fewer images; at the end of the small pairs it was the other way
# round, so do not call it a price yet. This is one pair of runs. The small pairs agree: with the regularizer the lengths are
# more even and PPL is lower; but among those four runs only the lengths separate the two kinds, while PPL overlaps.
#
# In the paper (Table 1, FFHQ at 1024 px, as reported there) the regularizer takes PPL from 158.0 to 122.5 at nearly the same FID,
# 4.38 and 4.34.
#
# ## Why it matters: finding an image again
#
# To edit a picture you first need a $w$ that draws it: **projection**, or inversion. Start at the mean of $W$, draw, compare,
# follow the gradient of a perceptual distance down (StyleGAN2, App. D; `course_lib/inversion.py`). The paper claims that an even
# generator is easier to search; that its *own* images come back almost exactly; and that real ones come back less well, so that
# generated images can be recognized.
#
# A comparison of generators has a trap. The search needs a learning rate, a step in $W$, and the published one, 0.1, is absolute;
# but the scale of $W$ is another in each generator. At 0.1, a step is a fifth of a standard deviation of an entry of $W$ in the
# regularized generator and a third in the ablation, and whoever compares them so compares two searches, not two generators. So
# rates are given in standard deviations here, several are tried, and the nearest projection of each image counts.
#
# > **Predict.** Three generators: StyleGAN2, trained with the regularizer; its ablation, without; and StyleGAN of lesson 03, which
# > never had one. 32 portraits drawn by each, 32 of the data set, 500 steps at each of four rates. Which come back?
# > (`python experiments/smoothness.py stylegan2-portraits-64 stylegan2-portraits-64-nopl stylegan-portraits-64 --pairs 1000`)

# %%
names = ("stylegan2-portraits-64", "stylegan2-portraits-64-nopl", "stylegan-portraits-64")
print("mean perceptual distance at each rate (in standard deviations of W), and of the nearest projection of each image")
print(f"{'':46s}" + "".join(f"{rate:>7g}" for rate in models[names[0]]["inversion"]["rates"]) + "  nearest  below 0.2")
for name in names:
    for kind, text in (("generated", "its own portraits"), ("portraits", "the data set's")):
        found = models[name]["inversion"][kind]
        means, nearest = torch.tensor(found["searches"]).mean(dim=(1, 2)), torch.tensor(found["distance"])
        print(f"{name:28s}{text:18s}" + "".join(f"{mean:7.2f}" for mean in means)
              + f"{nearest.mean():9.2f}{(nearest < 0.2).sum():5d} of {len(nearest)}")

# %%
for name in names:
    sheet = plots.tiles(zoo.DATA / "results" / f"smoothness-{name}.png", 64)
    plots.show(plots.image_grid(sheet, columns=8, labels=["its own", "found again", "data set's", "found again"]),
               alt=f"{name}, four rows of eight: its own portraits, their nearest projections, portraits of the data set, "
                   "their nearest projections.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Read the rows first. The rate alone changes the mean error by a fifth to three quarters, no rate is the best everywhere, and the
# nearest of four searches is better than the best single rate (for the regularized generator's own portraits by half). An image
# that does not come back may simply need another search: for the generator's own portraits there *is* a $w$ that draws them.
#
# Then compare. At every rate the regularized generator comes nearer than its ablation, to its own portraits and to those of the
# data set, as the paper would have it; its nearest projections are a bit more than half as far off. (One pair of generators.) In
# all three the own portraits come back better than those of the data set, as the paper says. *Almost exactly*, below 0.2, come
# about half of the own ones of both StyleGAN2s and most of StyleGAN's, and few of the data set's.
#
# And StyleGAN, whose lengths are far less even (`smoothness.json`: 0.93 over $w$), is no harder to search than the regularized
# StyleGAN2: it comes nearer to its own portraits, and as near to those of the data set. Between generators that differ in much
# else, evenness does not tell which one is easy to search.
# </details>
#
# ### Your own
#
# Design somebody, then press *From the start* and *Go on* below: the generator looks for that portrait. Left your design, right
# what it has found. (Stored here is the end of a short search of 100 steps, which has not arrived: hair and background are
# there, but it drew glasses and a blue shirt.)

# %%
def design(smile=0.7, yaw=10, hair_color="red", hairstyle="parting", glasses="none", skin=0.3, light=0.3):
    person = portraits.attributes(smile=smile, yaw=yaw, hair_color=hair_color, hairstyle=hairstyle, glasses=glasses, skin=skin,
                                  light=light)
    return portraits.render(person, 64)


values = {a.name: a.values for a in portraits.ATTRIBUTES}
designer = widgets.explorer(design, smile=(-1, 1, 0.1), yaw=(-30, 30, 5), skin=(0, 1, 0.1), light=(-1, 1, 0.1),
                            hair_color=values["hair_color"], hairstyle=values["hairstyle"], glasses=values["glasses"],
                            alt="The portrait to look for, which follows its sliders.")
designer

# %%
perceptual = metrics.oracle_distance(zoo.load("oracle-portraits-64"))


def frames():
    target = design(**designer.values())
    for now in inversion.project_steps(G, target, perceptual, steps=101, lr=0.8):
        if now.step % 4 == 0:
            yield plots.image_grid(torch.cat([target, now.images]), scale=3), f"step {now.step}, distance {now.distances[0]:.2f}"


widgets.live(frames, first=26, alt="Left the designed portrait, right its projection after 100 steps.")

# %% [markdown]
# ## Optional: R1, the discriminator's own smoothness
#
# The discriminator is regularized too. Where it is steep around real images, a small change of an image changes its verdict a
# lot, and the generator gets erratic gradients. **R1** (Mescheder et al. 2018) punishes the slope at the reals:
#
# $$R_1 = \frac{\gamma}{2}\; \mathbb E_{x \text{ real}} \big[\lVert \nabla_x D(x) \rVert^2\big]$$
#
# That gradient has the shape of an image. Where is the discriminator looking: at the whole picture, or at a part of it?

# %%
D = zoo.load("stylegan2-portraits-64", "D")
reals = portraits.render(portraits.sample_attributes(8, seed=3), 64).requires_grad_()
slope, = torch.autograd.grad(D(reals).sum(), reals)
slope = slope.square().sum(dim=1).sqrt()
maps = torch.stack([plots.diverging(s, limit=slope.max()) for s in slope])
plots.show(plots.image_grid(torch.cat([reals.detach(), maps]), columns=8),
           alt="Eight portraits, and below each the size of the discriminator's gradient at every pixel: larger on the head than "
               "on clothes and background, and largest at black glasses.")

# %% [markdown]
# At the head more than at the clothes or the background: most at black glasses, and all over curly hair.
#
# ### Exercise 3 · r1_penalty
#
# `logits` $[N]$ were computed from `reals` $[N, 3, H, W]$. Return $\lVert\nabla D\rVert^2$ for each image, $[N]$, without
# $\gamma/2$. Differentiate the **sum** of the logits, with `torch.autograd.grad` (`reals.grad` stays empty: in the check the
# images are no leaves of the graph). The discriminator is trained on the result.

# %%
def r1_penalty(logits, reals):
    return ____


ex.r1_penalty.check(r1_penalty)

# %% [markdown]
# ## Optional: lazy regularization
#
# Both regularizers need a gradient of a gradient, which costs far more than an ordinary step. But they change slowly. So
# StyleGAN2 runs R1 every 16th step and the path length every 4th (8th in the paper), as steps of their own, and multiplies the
# penalty by that interval $k$. Of $k + 1$ steps $k$ are ordinary. Adam does not know that, and its memory fades with every step.
# So its constants are adapted, with $c = k / (k + 1)$:
#
# $$\text{lr} \to c \cdot \text{lr} \qquad \beta_1 \to \beta_1^{\,c} \qquad \beta_2 \to \beta_2^{\,c} \qquad\text{(App. B)}$$
#
# > **Predict.** After 17 steps with $\beta^{16/17}$, and after 16 with $\beta$: which memory has forgotten more?
#
# <details><summary><b>Answer</b></summary>
#
# Neither: $(\beta^{16/17})^{17} = \beta^{16}$. The extra step takes nothing from the memory. It is the same with the learning
# rate: 17 steps of $\tfrac{16}{17}\,\text{lr}$ are worth 16 steps of lr.
# </details>
#
# Does laziness cost quality? In the paper (Table 1, as reported there) it does not: an FID of 4.39 before and of 4.38 after. Here
# both regularizers run every 1, 4, 8 or 16 steps, in the small setting of the other comparisons: 32 pixels, 280,000 images, two
# seeds. The speed is that of a run that has the GPU for itself.

# %%
lazy = json.loads((zoo.DATA / "results" / "lazy.json").read_text())
print(f"{lazy['device']}, seeds {lazy['seeds']}")
print(" " * 12 + "frechet  path lengths, over w       over y     images/s")
for name, runs in lazy["runs"].items():
    each = lambda figure, form: " / ".join(f"{figure(run):{form}}" for run in runs.values())
    print(f"{name:12s}{each(lambda run: run['curve'][-1]['frechet'], '3.0f')}"
          f"{each(lambda run: run['lengths']['across_latents'], '.2f'):>23s}"
          f"{each(lambda run: run['lengths']['across_projections'], '.2f'):>14s}{lazy['img_per_s_alone'][name]:13,.0f}")

# %% [markdown]
# No order shows in the Fréchet distance. The two seeds of one interval lie further apart than most intervals do, so these runs
# cannot tell them apart: laziness costs too little to be seen here, as the paper says. The path lengths come out about as even,
# however seldom the regularizer runs. Time is another matter: with both at every step a run takes 2.3 times as long as with both
# at every 16th, and most of that is gained at every 4th already.
#
# ### Exercise 4 · lazy_adam
#
# Return the learning rate and the pair of betas for a regularizer that runs every `interval` steps, as Python numbers: `(lr,
# (beta1, beta2))`.

# %%
def lazy_adam(lr, betas, interval):
    return ____


ex.lazy_adam.check(lazy_adam)

# %% [markdown]
# ## Summary
#
# - A generator's steps can be large here and small there. Finite differences show it; the singular values of $J$ show it for all
#   directions.
# - $J^T y$ asks about all directions in one backward pass. The less its length changes, the more equal they are.
# - The penalty is the squared difference from a moving mean, so it asks for *equal* steps, not for small ones.
# - It does make steps more even here, in the small generators and at 64 pixels, and there a search comes nearer than in the
#   ablation, at every learning rate that was tried.
# - R1 asks the discriminator for *small* slopes at the real images, the path-length penalty asks the generator for *equal* ones.
#   Both run lazily, and Adam's constants make up for it.
#
# **Read next**: §3 and App. B to D of the [StyleGAN2 paper](https://arxiv.org/abs/1912.04958); [Mescheder et al.
# 2018](https://arxiv.org/abs/1801.04406) on R1; `course_lib/losses.py`, which runs what you wrote; [lesson 07](07_ppl.ipynb),
# how smoothness is measured along a path.
