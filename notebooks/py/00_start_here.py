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
# # 00 · Start here
#
# This course goes from the first generator that drew convincing faces (PGGAN, 2018) to editing them with a sentence (StyleCLIP,
# 2021). Every lesson runs a **trained** model, on a laptop, without a download. You write the functions that make it work. A
# check tries each on many inputs and then shows it at work, in the trained model where that is possible.
#
# In this lesson you
#
# - meet the world that everything is trained on, and its ground truth;
# - train a small GAN of your own, in about twenty seconds;
# - load a trained StyleGAN2 and learn what its score means, and what it misses;
# - write your first exercise, **truncation**, and see how checks and sliders work.
#
# 45–55 minutes.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from course_lib import exercises, losses, metrics, ops, plots, portraits, results, widgets, zoo
from course_lib.exercises import ____

torch.manual_seed(0)
ex = exercises.lesson("00")

# %% [markdown]
# ## A world with ground truth
#
# StyleGAN was trained on 70,000 photographs of faces. Nobody knows the pose or the smile in those pictures exactly, so most
# claims about what the network learnt rest on looking. Our world is drawn by a program, `course_lib.portraits`, so every
# attribute of every portrait is known.

# %%
attributes = portraits.sample_attributes(24, seed=16)
plots.show(plots.image_grid(portraits.render(attributes, 128), columns=8),
           alt="Twenty-four portraits of the course's world, three rows of eight, drawn at random.")

# %%
for name in ("smile", "yaw", "hairstyle", "hair_color"):
    spec = next(a for a in portraits.ATTRIBUTES if a.name == name)
    value = attributes[name][0]
    print(f"{name:12s} {spec.group:7s}", spec.values[value] if spec.kind == "discrete" else f"{value:.2f}")
print(portraits.caption(attributes, seed=0)[0])

# %% [markdown]
# Each attribute belongs to one of three groups: *coarse* (pose, shape of the head and hair), *middle* (eyes, mouth, beard,
# glasses) and *fine* (colours, light). StyleGAN's claims speak of these groups, and later lessons measure them. Freckles and
# strands of hair come from a noise field of their own: the same person can be drawn with other noise.
#
# Draw somebody.

# %%
def draw(smile=0.6, mouth_open=0.0, yaw=0, hair_color="brown", glasses="none", skin=0.3):
    one = portraits.attributes(smile=smile, mouth_open=mouth_open, yaw=yaw, hair_color=hair_color, glasses=glasses, skin=skin)
    return portraits.render(one, 256)


values = {a.name: a.values for a in portraits.ATTRIBUTES}
widgets.explorer(draw, smile=(-1, 1, 0.1), mouth_open=(0, 1, 0.1), yaw=(-30, 30, 5), skin=(0, 1, 0.1),
                 hair_color=values["hair_color"], glasses=values["glasses"],
                 alt="One portrait that follows the sliders for smile, open mouth, yaw, skin, hair colour and glasses.")

# %% [markdown]
# ## A GAN in one page
#
# A **generator** $G$ turns random numbers $z$ into an image. A **discriminator** $D$ gives an image one number, its *logit*, high
# for real. They are trained against each other (Goodfellow et al. 2014): $D$ learns to tell real from fake, $G$ learns to fool
# it.
#
# With the sigmoid $\sigma$, which turns a logit into a probability,
#
# $$\mathcal L_D = -\log \sigma(D(x)) - \log\big(1-\sigma(D(G(z)))\big) + \tfrac12 \lVert\nabla_x D(x)\rVert^2 \qquad
# \mathcal L_G = -\log \sigma(D(G(z)))$$
#
# The last term of $\mathcal L_D$, called R1, keeps $D$ from becoming steep around the reals (lesson 06 comes back to it). Here is
# a GAN for portraits of 8 × 8 pixels. `losses.discriminator_loss` and `losses.generator_loss` are the logarithms above, one line
# each.

# %%
def layers(*sizes):
    pairs = [(nn.Linear(a, b), nn.LeakyReLU(0.2)) for a, b in zip(sizes, sizes[1:])]
    return nn.Sequential(*[layer for pair in pairs for layer in pair][:-1])


small_G = layers(32, 256, 256, 3 * 8 * 8)
small_D = layers(3 * 8 * 8, 256, 256, 1)
G_opt = torch.optim.Adam(small_G.parameters(), lr=0.001, betas=(0.0, 0.99))
D_opt = torch.optim.Adam(small_D.parameters(), lr=0.001, betas=(0.0, 0.99))
reals = torch.cat([images.flatten(1) for images, _ in portraits.batches(768, seed=3, resolution=8)])   # draws for some seconds


# %%
def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train_step(batch=64):
    real = reals[torch.randint(len(reals), [batch])].requires_grad_()
    fake = small_G(torch.randn(batch, 32))
    real_logits, fake_logits = small_D(real)[:, 0], small_D(fake.detach())[:, 0]             # D's step does not reach G
    slope, = torch.autograd.grad(real_logits.sum(), real, create_graph=True)                 # R1 trains D through it
    D_loss = losses.discriminator_loss(real_logits, fake_logits) + 0.5 * slope.square().sum(dim=1)
    update(D_opt, D_loss.mean())
    update(G_opt, losses.generator_loss(small_D(fake)[:, 0]).mean())


# %%
threads = torch.get_num_threads()
torch.set_num_threads(1)                              # networks as small as these run faster on one core
z = torch.randn(12, 32)
stages = {}
for step in range(1501):
    if step in (0, 50, 200, 600, 1500):
        stages[step] = small_G(z).detach().reshape(12, 3, 8, 8)
    train_step()
torch.set_num_threads(threads)
stages["real"] = reals[:12].reshape(12, 3, 8, 8)
rows = torch.cat(list(stages.values())).repeat_interleave(6, 2).repeat_interleave(6, 3)
plots.show(plots.image_grid(rows, columns=12, labels=[f"step {s}" if s != "real" else "real" for s in stages]),
           alt="Twelve latents drawn by the small generator after 0, 50, 200, 600 and 1500 steps, and twelve real portraits: "
               "noise turns into heads on coloured backgrounds.")

# %% [markdown]
# > **Predict.** Nobody told $G$ what a portrait is. Where does it learn that a head belongs in the middle?
#
# <details><summary><b>Answer</b></summary>
#
# From the gradient of $D$ alone: $G$ never sees a real image. $D$ learns that heads are in the middle because that tells reals
# from fakes, and $\partial D / \partial\,\text{image}$ tells $G$ which pixels to change.
# </details>
#
# ## The zoo
#
# The networks of this course came out of the same loop, with better networks and more images. `zoo.load` gives you one by its
# name. `GENERATOR` alone chooses the model: a StyleGAN or StyleGAN2 of your own by its path, or `"stylegan2-ffhq-1024"`, which
# downloads NVIDIA's generator of photographs (for non-commercial use). Every cell that takes a `G` takes it too, on a GPU if you
# like to wait less. What the course measured with its own model says nothing about another, and is left out then, with a sentence.

# %%
torch.set_grad_enabled(False)
GENERATOR = "stylegan2-portraits-64"
G = zoo.load(GENERATOR)
z = torch.randn(32, G.z_dim, generator=torch.Generator().manual_seed(1))
plots.show(plots.image_grid(G(z, noise="const"), columns=8, scale=2),
           alt="Thirty-two portraits drawn by the trained StyleGAN2 from the first latents of a seed, not selected.")

# %% [markdown]
# None of these people was drawn by the program: the generator made them up. They are the first 32 of a seed, not a selection.
# At a glance most pass for the program's work. Now look as an illustrator would. One background has two colours, a hat or two
# is two hats in one, and on two heads black hair turns brown. In an audit of this generator's first 100 portraits, enlarged
# four times, one viewer found a fault in 62 of them (`data/README.md`).
#
# ## What a Fréchet distance sees
#
# How good is a generator? The usual answer compares two clouds of **features**: run many real and many generated images through a
# network, take the mean $\mu$ and the covariance $\Sigma$ of its features, and compute (you need not do it by hand)
#
# $$d^2 = \lVert\mu_1-\mu_2\rVert^2 + \mathrm{tr}\big(\Sigma_1 + \Sigma_2 - 2(\Sigma_1\Sigma_2)^{1/2}\big)$$
#
# With the Inception network this is the FID. Here the features come from the **oracle**, a network that predicts the attributes of
# a portrait, and the distance is called `frechet`. A number means little without a scale, so here is one.

# %%
if report := results.load(GENERATOR):
    for label, key in (("reals against other reals", "floor"), ("this generator", "model")):
        row = report[key]
        print(f"{label:26s} frechet {row['frechet']:6.2f}   precision {row['precision']:.2f}   recall {row['recall']:.2f}")

# %% [markdown]
# **Precision** is the share of generated portraits that lie among the reals, **recall** the share of reals that lie among the
# generated ones (Kynkäänniemi et al. 2019), in the same features. By precision this generator is as good as the reals, so the
# features forgive the faults that you saw. Its recall is little more than half of theirs: much of what the world holds it never
# draws. The model card in `data/README.md` has the whole curve.
#
# > **Predict.** You blur all reals by half a pixel. You could hardly tell. Does the distance notice? And by two pixels?

# %%
blur = results.load("frechet-blur")
eight = portraits.render(portraits.sample_attributes(8, seed=7), 64)


def distance(sigma):
    return blur["frechet"][f"{sigma:.2f}"]


def blurred(sigma=0.0):
    picture = plots.image_grid(metrics.blur(eight, sigma) if sigma else eight, columns=4, scale=2)
    return plots.with_caption(picture, f"blur {sigma:.2f} px    frechet {distance(sigma):.2f}")


widgets.explorer(blurred, sigma=(0, 2, 0.5), alt="Eight portraits under a growing blur, with the Fréchet distance of 20,000 "
                                                  "equally blurred reals.")

# %%
sigmas = (0.0, 0.5, 1.0, 2.0)
rows = torch.cat([metrics.blur(eight[:4], s) if s else eight[:4] for s in sigmas])
plots.show(plots.image_grid(rows, columns=4, scale=2, labels=[f"{s} px" for s in sigmas]),
           alt="Four portraits under a blur of 0, 0.5, 1 and 2 pixels: at 2 pixels they are soft, and still the same people.")
for sigma in sigmas:
    print(f"blur {sigma:.1f} px   frechet {distance(sigma):8.2f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Half a pixel triples the distance, but triple of a tiny floor is still tiny. One pixel, which you do see, costs a little more
# than the generator. Two pixels move it far beyond the generator's own distance, although everybody is still there: same people,
# same poses. The oracle was trained on slightly blurred portraits too, so it forgives a small blur; a large one hides what it
# reads.
# </details>
#
# A Fréchet distance reacts to what its *features* react to, whether you would call it quality or not. So this course never trusts
# one number: it looks at samples, at precision and recall, and at what a second network, the **judge**, sees in the pictures.
#
# ## Sampling and truncation
#
# StyleGAN2 does not draw from $z$ directly. A mapping network turns $z$ into a latent $w$, and every layer gets one copy of it.
# Far from the mean $\bar w$ few latents were ever drawn in training, and portraits are often worse there. **Truncation** pulls
# $w$ towards the mean (StyleGAN, App. B):
#
# $$w' = \bar w + \psi\,(w - \bar w)$$
#
# ### Warm-up exercise · truncate
#
# `ws` is $[N, \text{num\_ws}, \text{w\_dim}]$, one $w$ per layer; `w_avg` is $[\text{w\_dim}]$. With a `cutoff`, only the layers
# before it are truncated: pose and shape become ordinary, colours keep their variety. `cutoff=None` truncates all layers,
# `cutoff=0` none. $\psi$ may be any number. Return a new tensor, and stay in torch: gradients must pass through your function.
#
# Replace `____` and run the cell. Until you do, the check says *not attempted*, and the notebook still runs to its end.

# %%
def truncate(ws, w_avg, psi, cutoff=None):
    return ____


ex.truncate.check(truncate)

# %% [markdown]
# Stuck? Run `ex.truncate.hint()` in a cell of its own; it helps twice. `ex.truncate.solution()` shows the function that the
# library runs, and `exercises.progress()` what you have solved so far.
#
# > **Predict.** What does $\psi = 0$ show for 8 different latents? And $\psi = -1$?

# %%
def truncated(seed, psi, n=8):
    z = torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(seed))
    ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, psi)
    return G.synthesis(ws, noise="const")


psis = (1.0, 0.5, 0.0, -0.5, -1.0)
plots.show(plots.image_grid(torch.cat([truncated(1, psi) for psi in psis]), columns=8, scale=2,
                            labels=[f"ψ = {psi}" for psi in psis]),
           alt="The same eight latents at ψ = 1, 0.5, 0, −0.5 and −1. At 0 all eight are one portrait.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# At $\psi = 0$ all eight are the same portrait, the one of $\bar w$. At $\psi = -1$ you are as far from the mean as at 1, on its
# other side, and portraits turn into a kind of opposite: look for the skin, the hair and the beard. The mapping network hardly
# ever put a latent there, so nobody taught the synthesis what to draw. Most portraits hold together all the same; the second
# one's hat does not. The portrait of $\bar w$ itself is not flawless: each of its eyes is half green, half blue.
# </details>

# %%
def sample(seed=1, psi=0.7):
    return plots.image_grid(truncated(seed, psi), columns=4, scale=2)


widgets.explorer(sample, seed=(1, 50, 1), psi=(-1, 1.5, 0.1),
                 alt="Eight portraits of the trained generator for the chosen seed and truncation.")

# %%
z = torch.randn(24, G.z_dim, generator=torch.Generator().manual_seed(5))
for psi in (1.0, 0.7, 0.4, 0.0):
    spread = G(z, psi=psi, noise="const").std(dim=0).mean()
    print(f"ψ = {psi:.1f}   standard deviation of a pixel between portraits {spread:.2f}")

# %% [markdown]
# The standard deviation falls with ψ: variety goes. What truncation is meant to buy is quality. But look at the sheet above again:
# at ψ = 0.5 two of the eight backgrounds have more than one colour, and at ψ = 1 none has. Is that chance? Precision can be read
# from lesson 03's curve. For the backgrounds, take the frame of a portrait (four pixels wide, at the top and at both sides down to
# the shoulders) and count the portraits in which a tenth of it or more has another background's colour than the rest.

# %%
if results.belong_to(GENERATOR):
    counted = results.load("backgrounds")
    curve = results.load("styles")["models"]["stylegan2-portraits-64"]["truncation"]
    print(f"{counted['command']}\n{counted['samples']:,} portraits for each ψ, one seed: {counted['seeds'][0]}")
    assert max(counted["several_colors"].values()) < 1.2 * min(counted["several_colors"].values())
    for psi, share in counted["several_colors"].items():
        precision = next(row["precision"] for row in curve if row["psi"] == float(psi))
        print(f"ψ = {float(psi):.2f}   background of several colours {100 * share:4.1f} %   precision {precision:.2f}")
    print(f"portraits of the world {100 * counted['portraits']:15.1f} %")

# %% [markdown]
# It was chance: the backgrounds fail as often at every ψ, in about one portrait of twenty; in the world it never happens.
# Meanwhile precision rises from 0.90 to 0.99 (0.88 above: that was of 20,000 samples, this curve has 5,000 for each $\psi$). So
# truncation buys precision, but it does not repair this fault, and precision does not see it: the oracle's features forgive a
# background of two colours.
#
# <details><summary><b>Why near the mean, too?</b></summary>
#
# A guess, which is not tested here: the world has seven backgrounds, nothing between them, and $w$ moves without a gap from one to
# another. Somewhere on the way the generator has to change over, and a portrait that comes to lie there gets a bit of both. Pulling
# $w$ towards the mean moves some portraits out of such places, and others into them.
# </details>
#
# ## What the judge reads
#
# The judge, a second classifier of attributes, took no part in training anything else. Here is how often it sees each hairstyle in
# 1,000 portraits of the generator, and how often in 10,000 portraits of the world.

# %%
if report := results.load(GENERATOR):
    hairstyles = report["attributes"]["hairstyle"]
    fig, ax = plt.subplots(figsize=(7, 2.8))
    positions = torch.arange(len(values["hairstyle"]))
    ax.bar(positions - 0.2, list(hairstyles["portraits"].values()), 0.4, label="world")
    ax.bar(positions + 0.2, list(hairstyles["generated"].values()), 0.4, label="generator")
    ax.set_xticks(positions, values["hairstyle"])
    ax.set_ylabel("share")
    ax.legend()
    plots.show(fig, alt="Share of each hairstyle in the world and in 1,000 generated portraits, as the judge reads both.")

# %% [markdown]
# Every hairstyle is there, some too rarely (a ponytail), some too often (bald heads). Why, then, is recall low? Look at the
# attributes that are numbers: how far they spread among the generated portraits, as a share of their spread in the world.

# %%
if report := results.load(GENERATOR):
    spread = {name: row["generated"]["std"] / row["portraits"]["std"]
              for name, row in report["attributes"].items() if "std" in row["portraits"]}
    ordered = {name: spread[name] for name in sorted(spread, key=spread.get)}
    plots.show(plots.bars(ordered, "standard deviation, generated / world", reference=1),
               alt="A bar for each continuous attribute, sorted: nose and smile spread far less among generated portraits than in "
                   "the world; hair length, light, skin and roll as much.")

# %% [markdown]
# Pose, light and skin spread as they should. Noses, smiles and brows do not: the generator draws them too alike, or too unclear
# to be read, and people with a very large nose or a very wide smile become rare. That may be one reason why recall is low. At 64
# pixels each of them is a few pixels. Shares of single attributes say nothing about *combinations*, either; recall counts those
# too.
#
# ## Summary
#
# - The world is drawn by a program, so claims about attributes become measurements.
# - A GAN is two networks and two losses; the generator only ever sees the discriminator's gradient.
# - A Fréchet distance compares clouds of features. It needs a scale, and it sees things that you do not.
# - Truncation pulls $w$ towards its mean. It gives up variety for precision, but not every fault becomes rarer.
# - `ex.….check(…)` tries your function on many inputs, then shows it at work: here in the trained generator, for some exercises in
#   a small experiment. Nothing you do here can break the course's own files.
#
# **Read next**: [Goodfellow et al. 2014](https://arxiv.org/abs/1406.2661), eight pages with which it began; on scores, [Heusel
# et al. 2017](https://arxiv.org/abs/1706.08500) and [Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991). Next lesson:
# [01](01_fade_in.ipynb), how a generator grows.
