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
# # 01 · Fade in: a generator that grows
#
# > **The claim** (PGGAN; Karras et al. 2018, §2): start at 4×4 pixels, where a GAN is easy to train, and add layers until the
# > image is large. Fade every new block in, so that it does not destroy what the layers below have learnt. Training becomes
# > stable, and two to six times faster.
#
# You will
#
# - look at the stages of a trained PGGAN, and put an untrained block on top of one;
# - write **fade_in**, which mixes two resolutions by α, and run it in the generator;
# - write the **fade of the reals**, without which the discriminator would win at once, and the **schedule** of growth;
# - switch a block on at once, live, and in a training run;
# - see what growing saves, and what it does not do here.
#
# 100–120 minutes. You need lesson 00.

# %%
import json

import matplotlib.pyplot as plt
import torch

from course_lib import exercises, ops, plots, portraits, widgets, zoo
from course_lib.exercises import ____
from course_lib.networks import pggan
from course_lib.training import schedule

torch.manual_seed(0)
ex = exercises.lesson("01")
COLOR = dict(zip(("grown", "at once", "full size"), plots.COLORS))
COLOR["α rises"] = COLOR["grown"]

# %% [markdown]
# ## The problem
#
# A portrait of 64 × 64 pixels has 256 times as many values as one of 4 × 4. Here are portraits of the world at five resolutions.

# %%
full = portraits.render(portraits.sample_attributes(8, seed=5), 64)
sizes = (4, 8, 16, 32, 64)
enlarged = lambda images: ops.upscale2d(images, 64 // images.shape[-1])
plots.show(plots.image_grid(torch.cat([enlarged(ops.downscale2d(full, 64 // r)) for r in sizes]), columns=8, scale=2,
                            labels=[f"{r} px" for r in sizes]),
           alt="Eight portraits at 4, 8, 16, 32 and 64 pixels, enlarged to one size: at 4 and 8 pixels a head before a background, "
               "at 16 hair and clothes, from 32 on faces.")

# %% [markdown]
# > **Predict.** You are the discriminator and have to tell generated portraits from real ones. At which size is that easiest, and
# > why is that bad for the generator?
#
# <details><summary><b>Answer</b></summary>
#
# At 64 pixels: every hair and every edge can be wrong. At 4 pixels there is little to see but colours. The generator learns from
# the discriminator's gradient. A discriminator that has found one sure sign says nothing about all the rest. So at full size the
# generator has to learn everything at once from a discriminator that is far ahead of it; the authors add that large images force
# small batches (§1).
# </details>
#
# PGGAN asks for one thing after the other. It trains a generator and a discriminator at 4 pixels, then gives both a block for 8
# pixels, and so on; all layers go on learning. Here is the generator at the end of each stage, always for the same eight latents
# $z$.

# %%
names = {4: "4", 8: "8", 16: "16", 32: "32", 64: "G"}
stages = {r: zoo.load("pggan-portraits-64", part) for r, part in names.items()}
z = torch.randn(8, stages[4].z_dim, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def draw(network, z=z, alpha=None):
    return network(z, alpha=alpha)


plots.show(plots.image_grid(torch.cat([enlarged(draw(stages[r])) for r in sizes]), columns=8, scale=2,
                            labels=[f"{r} px" for r in sizes]),
           alt="The pictures of eight latents in the stages from 4 to 64 pixels: pose and outline mostly stay from one stage to "
               "the next; hair, glasses, clothes and backgrounds often change.")

# %% [markdown]
# How much of a portrait stays? Average the images of a stage down to the size of the stage before, and compare them with what
# that stage draws: of the same latent, and of others.

# %%
many = torch.randn(64, z.shape[1], generator=torch.Generator().manual_seed(3))
of_stage = {r: torch.cat([draw(stages[r], part) for part in many.split(32)]) for r in sizes}
alike = lambda a, b: torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
print("                                  correlation with the stage before       its own latent is the nearest\n"
      "                                  same latent       another latent         of 64 in")
for r in sizes[1:]:
    now, before = ops.downscale2d(of_stage[r]), of_stage[r // 2]
    nearest = torch.cdist(now.flatten(1), before.flatten(1)).argmin(dim=1)
    own = (nearest == torch.arange(len(many))).float().mean()
    print(f"{r:2d} px, averaged down to {r // 2:2d} px {alike(now, before):14.2f}{alike(now, before.roll(1, 0)):19.2f}"
          f"{100 * own:22.0f} %")

# %% [markdown]
# Because the layers below stay, a latent keeps much of its picture from one stage to the next, above all the outline and the
# broad distribution of light and dark. But it does not keep everything: hair, glasses, clothes and backgrounds change in many
# columns, and where the percentage is below 100, some latents look more like another latent's old picture than like their own.
# How α got into this is what comes now.
#
# ## A new block, at once
#
# Take the stage of 32 pixels and put a block for 64 on top, with random weights, as training does. The picture now comes out of
# the new block.

# %%
def with_a_new_block(resolution):
    """The stage before, with an untrained block for `resolution` on top."""
    channels = {r: getattr(stages[resolution], f"b{r}").conv1.weight.shape[0] for r in stages[resolution].resolutions}
    torch.manual_seed(0)
    network = pggan.Generator(resolution, z_dim=z.shape[1], channels=channels)
    network.load_state_dict(stages[resolution // 2].state_dict(), strict=False)
    return network.eval().requires_grad_(False)


new = {r: with_a_new_block(r) for r in sizes[1:]}
plots.show(plots.image_grid(torch.cat([enlarged(draw(stages[32])), draw(new[64], alpha=1)]), columns=8, scale=2,
                            labels=["32 px", "new block"]),
           alt="Above the portraits of the 32 pixel stage, below what an untrained block makes of their features: false colours, "
               "in which outlines of the portraits remain.")

# %% [markdown]
# The outlines are still there, for even a random block passes on what it gets. But the colours are gone, because with a new block
# comes a new layer that turns features into RGB. The discriminator has a new block as well. Now both take large steps to put their
# new layers in order, and the gradients of these steps run through all the layers below.
#
# ## The fade
#
# So keep the previous layer to RGB for a while, and mix. Let $\text{RGB}_{32}$ and $\text{RGB}_{64}$ be the layers that turn the
# features of a block into colours:
#
# $$\text{image} = (1-\alpha)\cdot \text{up}\big(\text{RGB}_{32}(x_{32})\big) + \alpha\cdot\text{RGB}_{64}(x_{64})
# \qquad\text{(PGGAN, Fig. 2)}$$
#
# $\text{up}$ repeats every pixel in both directions. At $\alpha = 0$ the network draws what it drew before, and the new block has
# no effect. Then α rises to 1 in a straight line over 600,000 images, and the previous toRGB is thrown away.
#
# The discriminator mirrors this. (PGGAN's is a *critic*: its last number is not turned into a probability. Lesson 02 has its
# loss, and from here on this lesson uses that word.) While it fades, it looks at the image twice: through its new block, and,
# averaged down, through its previous fromRGB:
#
# $$h_{32} = (1-\alpha)\cdot \text{fromRGB}_{32}\big(\text{down}(\text{image})\big) +
# \alpha\cdot\text{block}_{64}\big(\text{fromRGB}_{64}(\text{image})\big)$$
#
# and from $h_{32}$ on it is the critic of 32 pixels.
#
# ### Exercise 1 · fade_in
#
# `low` is $[N, C, H, W]$ and `high` $[N, C, 2H, 2W]$; `alpha` is a number or a tensor without dimensions. Return the mixture, in
# the size of `high`. Repeat pixels, do not interpolate. You may call `ops.upscale2d`. Both inputs come out of layers that learn,
# so the gradient must reach both, and the result is a new tensor at every α. (The check shows your function in the *trained*
# generator of 64 pixels, at several α. Not all of its pictures are pretty; why, you will see further down.)

# %%
def fade_in(low, high, alpha):
    return ____


ex.fade_in.check(fade_in)

# %% [markdown]
# Here is the fade at its **start**: the network above, whose new block is untrained.

# %%
alphas = (0, 0.1, 0.25, 0.5, 1)
strip = torch.stack([draw(new[64], z[2:5], alpha) for alpha in alphas], dim=1)
plots.show(plots.image_grid(strip.flatten(0, 1), columns=5, scale=2, titles=[f"α = {alpha}" for alpha in alphas]),
           alt="Three portraits with an untrained block at five α: untouched at 0, hardly changed at 0.1, more and more tinted, "
               "and in false colours with blurred outlines at 1.")

# %% [markdown]
# > **Predict.** And its **end**? Take the *finished* stage of 32 pixels, whose α is 1, and ask it for α = 0. Do you get the
# > portraits of the 16 pixel stage back?

# %%
plots.show(plots.image_grid(torch.cat([enlarged(draw(stages[16])),
                                       *(enlarged(draw(stages[32], alpha=alpha)) for alpha in (0, 0.5, 1))]),
                            columns=8, scale=2, labels=["stage 16", "stage 32, α = 0", "α = 0.5", "α = 1"]),
           alt="The 16 pixel stage's portraits, and the finished 32 pixel stage at α = 0, 0.5 and 1: at α = 0 the same people in "
               "glaring, oversaturated colours, at α = 1 natural ones.")
print("standard deviation of the pixels   " + "".join(f"  α = {alpha:<4}" for alpha in (0, 0.25, 0.5, 0.75, 1)))
for r in sizes[1:]:
    print(f"the {r:2d} px generator (its α is {stages[r].alpha:.2f})  " + "".join(
        f"{draw(stages[r], alpha=alpha).std():9.2f}" for alpha in (0, 0.25, 0.5, 0.75, 1)))
print(f"portraits of the world             {full.std():9.2f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# You get similar people in glaring colours, with two to four times the standard deviation. Towards the end of its fade
# $\text{RGB}_{16}$ counted only with the small weight $1-\alpha$, so the loss hardly held its values down. Since then it has not
# been trained at all, while the layers below went on learning. And in the middle of a fade both layers share the work, so neither
# is right alone. So α is no slider for your taste: a network is right at the α that it is trained with at that moment, and near
# it.
# </details>
#
# Move α yourself, at every transition and in the moments of it: at the start of the fade, with an untrained block; long after its
# end, in the finished stage; and for 32 pixels, of which it was kept, in the middle, when training had come to α = 0.5.

# %%
fading = {32: zoo.load("pggan-portraits-64", "fading-32")}


def moments(resolution=32, alpha=0.5):
    networks = {"start": new, "middle": fading, "finished": stages}
    rows = {name: draw(network[resolution], z[:5], alpha) for name, network in networks.items() if resolution in network}
    return plots.image_grid(enlarged(torch.cat([*rows.values()])), columns=5, scale=2, labels=[*rows])


widgets.explorer(moments, resolution=[8, 16, 32, 64], alpha=(0.0, 1.0, 0.05),
                 alt="Five portraits at the α of the slider: above with an untrained last block, then as training had come to α = "
                     "0.5, below the finished stage.")

# %% [markdown]
# > **Predict.** The row in the middle was saved when training had come to α = 0.5, and at 0.5 its contrast is paler than in the
# > finished stages. At which α is it as strong as theirs? (A hint: the shipped weights are not the newest ones, but a moving
# > average over training, of which half is older than 10,000 images.)

# %%
def equal_contrast(network, wanted):
    """The α at which the network's images deviate as much as `wanted`, to a hundredth."""
    low, high = 0.0, 0.5
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (middle, high) if draw(network, bank[:32], middle).std() > wanted else (low, middle)
    return low


bank = torch.randn(64, z.shape[1], generator=torch.Generator().manual_seed(2))
training = json.loads((zoo.DATA / "results" / "pggan-portraits-64-training.json").read_text())
plan = {key: training["settings"][key] for key in ("stable", "fade")}
sharp = portraits.render(portraits.sample_attributes(128, seed=6), 64)
print("standard deviation of the pixels: of the network / of portraits faded alike\n"
      "        finished, α = 1   fading, α = 0.5   the fading one is like the finished one at")
for r in fading:
    reals = ops.downscale2d(sharp, 64 // r) if r < 64 else sharp
    faded = ops.fade_reals(reals, 0.5).std()
    finished = draw(stages[r], bank[:32]).std() / reals.std()
    print(f"{r:2d} px {finished:13.2f} {draw(fading[r], bank[:32], 0.5).std() / faded:17.2f} {'α =':>20s} "
          f"{equal_contrast(fading[r], finished * faded):.2f}")
age = 1000 * training["settings"]["ema_kimg"] / torch.tensor(2.0).log().item()
print(f"The averaged weights are {age / 1000:.0f} thousand images old on average. In that time α rose by {age / plan['fade']:.2f}.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# At an α of a while ago. The averaged weights lag behind by about a tenth of the fade, and the α that they fit lags by about as
# much. Nobody trains the averaged network, so nobody corrects this. Keep it in mind when you read scores taken within a fade.
# </details>
#

# %% [markdown]
# ## The reals fade too
#
# > **Predict.** α is 0.1. The generator's images consist almost only of squares of 2 × 2 equal pixels. The reals are sharp. What
# > does the critic learn?
#
# Measure the *detail* of an image: what is left when every square of 2 × 2 pixels loses its mean.

# %%
def detail(images):
    return (images - ops.upscale2d(ops.downscale2d(images))).square().mean().sqrt()


reals = portraits.render(portraits.sample_attributes(64, seed=6), 64)
print("            detail of the    of sharp     of faded\n   α          generator       reals        reals")
for alpha in (0, 0.1, 0.25, 0.5, 1):
    of_generated, of_faded = detail(draw(new[64], alpha=alpha)), detail(ops.fade_reals(reals, alpha))
    print(f"{alpha:4.2f}  {of_generated:17.3f}{detail(reals):12.3f}{of_faded:13.3f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# To measure detail. (Look at the first rows: the new block is still untrained, and what it adds at larger α training can
# correct.) At α = 0 the generator *cannot* have any, whatever it does, so this one sign tells every sharp real from every
# generated image, and the generator can do nothing about it. The critic would have won before the fade begins.
# </details>
#
# So the reals are faded in the same way: at α = 0 they are as coarse as the generator's images, at α = 1 they are sharp.
#
# ### Exercise 2 · fade_reals
#
# `x` is $[N, C, H, W]$. At α = 0 every square of 2 × 2 pixels holds its own mean; at α = 1 the result is `x`; in between the two
# are mixed evenly. You may call `ops.downscale2d`, `ops.upscale2d` and `ops.fade_in`. Return a new tensor, at α = 1 too. Reals
# are data, so no gradient is asked for.

# %%
def fade_reals(x, alpha):
    return ____


ex.fade_reals.check(fade_reals)

# %% [markdown]
# ## The schedule
#
# Every resolution trains for 600,000 images; then the next one fades in over 600,000; and so on to the last. Two more things
# happen at a transition: the batch becomes smaller where memory asks for it, and Adam forgets its moments, for they belong to
# another network. (600,000 are the defaults of the authors' code; the paper's own run on faces took 800,000.) This is the plan of
# the shipped model, whose phases are shorter; the dashed line is where its training ended.

# %%
card = zoo.cards()["pggan-portraits-64"]
print(card["command"])
print(f"the shipped weights: after {card['images']:,} images")
images = range(0, card["images"] + 100_000, 2_000)
planned = [schedule.growing(i, 64, **plan) for i in images]
fig, (above, below) = plt.subplots(2, 1, figsize=(7, 3.4), sharex=True)
above.plot([i / 1000 for i in images], [resolution for resolution, _ in planned], drawstyle="steps-post")
below.plot([i / 1000 for i in images], [alpha for _, alpha in planned], color=plots.COLORS[1])
above.set(yscale="log", ylabel="resolution")
above.set_yticks(sizes, sizes)
above.minorticks_off()
below.set(xlabel="thousand images", ylabel="α")
for ax in (above, below):
    ax.axvline(card["images"] / 1000, color="#444444", linestyle="--", linewidth=1)
plots.show(fig, alt=f"Above the resolution, which doubles every {(plan['stable'] + plan['fade']) // 1000} thousand images from 4 "
                    f"to 64. Below α: it falls to 0 at every doubling, rises to 1 in a straight line over {plan['fade'] // 1000} "
                    f"thousand images and stays there for {plan['stable'] // 1000} thousand. "
                    "A dashed line marks the shipped model.")

# %% [markdown]
# ### Exercise 3 · growing
#
# Return `(resolution, α)` after `images` images, as Python numbers, the resolution as an integer. From `start` on every resolution
# trains for `stable` images at α = 1, then the doubled one fades in over `fade` images. While it fades in, return the *new*
# resolution. At `resolution` growth ends and α stays 1. `fade` may be 0, for a network whose blocks are switched on at once. At
# the very image where a fade begins, the old resolution with α = 1 and the new one with α = 0 draw the same, and both are right.

# %%
def growing(images, resolution, start=4, stable=600_000, fade=600_000):
    return ____


ex.growing.check(growing)

# %% [markdown]
# > **Predict.** With the defaults, how many images does it take until a network of 1024 pixels works at its full size, with α =
# > 1? Which share of them has it seen at 64 pixels or less?

# %%
begins = {}
for i in range(0, 12_000_000, 1_000):
    begins.setdefault(schedule.growing(i, 1024), i)
whole = next(i for (resolution, alpha), i in begins.items() if resolution == 1024 and alpha == 1)
small = next(i for (resolution, alpha), i in begins.items() if resolution == 128)
print(f"1024 px with α = 1 after {whole / 1e6:.1f} million images; {100 * small / whole:.0f} % of them at 64 px or less")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Eight doublings of 1.2 million images. More than half of them are small, and that is where the time is saved: an image of 64 ×
# 64 pixels has 256 times fewer values than one of 1024 × 1024.
# </details>
#
# ## The jolt, live
#
# What does a new block do to the picture? Take the stage of 8 pixels, put a new block for 16 on top, and train it for 256 steps:
# once with α = 1 at once, once with an α that rises from 0 to 1 in these 256 steps. A critic would take too long here. In its place
# stands a teacher: the squared difference from what the *finished* stage of 16 pixels draws of the same $z$, faded in as reals
# are. The error is the root mean square difference from the teacher's images of eight other latents.
#
# > **Predict.** Both end at α = 1. Which of the two draws better then?

# %%
teacher = stages[16]
target, wanted = draw(teacher, bank), draw(teacher)
error = lambda images: (images - wanted).square().mean().sqrt().item()


def train(alpha_at, steps=256, batch=4):
    """The images of z before every eighth step and after the last."""
    network = with_a_new_block(16).requires_grad_()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
    pictures = {}
    for step in range(steps + 1):
        alpha, chosen = alpha_at(step), (torch.arange(batch) + step * batch) % len(bank)
        if step % 8 == 0:
            pictures[step] = draw(network, z, alpha)
        loss = (network(bank[chosen], alpha=alpha) - ops.fade_reals(target[chosen], alpha)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return pictures


ways = {"at once": train(lambda step: 1.0), "α rises": train(lambda step: step / 256)}

# %%
def both(step=0):
    images = torch.cat([pictures[step][:5] for pictures in ways.values()])
    return plots.image_grid(enlarged(images), columns=5, scale=2, labels=list(ways))


shown = (0, 8, 32, 128, 256)
rows = [pictures[step][i] for pictures in ways.values() for i in (1, 3) for step in shown]
plots.show(plots.image_grid(enlarged(torch.stack(rows)), columns=5, scale=2, labels=[name for name in ways for _ in range(2)],
                            titles=[f"step {step}" for step in shown]),
           alt="Two portraits after 0, 8, 32, 128 and 256 steps: switched at once they begin in false colours; with a rising α "
               "they change slowly. At the end, at α = 1 both, the two ways look alike: blurred, in similar colours.")
fig, ax = plt.subplots()
for name, pictures in ways.items():
    ax.plot(list(pictures), [error(images) for images in pictures.values()], color=COLOR[name], label=name)
mean_picture = (wanted - wanted.mean(dim=0)).square().mean().sqrt().item()
ax.axhline(mean_picture, color="#888888", linestyle="--", linewidth=1, label="the mean of the eight images")
ax.set(xlabel="steps", ylabel="error", ylim=(0, None))
ax.legend()
plots.show(fig, alt="The error over the steps: switched at once it starts high and falls; with a rising α it stays low. At the end "
                    "both are about equal.")
for name, pictures in ways.items():
    print(f"{name:8s} error at the start {error(pictures[0]):.2f}, at the end {error(pictures[256]):.2f}")
print(f"the mean of the eight images      {mean_picture:.2f}")
assert abs(error(ways["at once"][256]) - error(ways["α rises"][256])) < 0.03

# %%
longer = json.loads((zoo.DATA / "results" / "fade.json").read_text())
print(f"{longer['command']}: the same with two seeds of the new block, {longer['seeds']}; error at the end")
for name, seeds in longer["runs"].items():
    print(f"{name:8s} " + " and ".join(f"{errors[-1]:.2f}" for errors in seeds.values()))

# %%
widgets.explorer(both, step=(0, 256, 8),
                 alt="Five portraits at the step of the slider, above with the block switched on at once, below with a rising α.")

# %% [markdown]
# Switched at once, the picture is lost, and comes back slowly. With a rising α the error stays where it was, while the pictures
# pass from the previous toRGB to the new block, and blur. But once α has come to 1, both draw equally well, and with another seed
# it is the same. So the fade removes the transient, and not more. (A teacher does not change along with the generator, as a
# critic does; what happens with a critic comes next.)
#
# ## Measured: the jolt in training
#
# Now with a critic. Small PGGANs of 32 pixels, on 280,000 images each (`python experiments/compare.py growing`): *grown*, where
# every block from 8 pixels on gets 80,000 images, of which it fades in during the first 40,000; *at once*, where it gets 80,000
# without a fade (but the last block only 40,000 within the run); and at *full size* from the start. The critic's loss is what it
# gives generated images less what it gives reals, on average; turned around it is about the distance that it sees between the
# two.

# %%
results = json.loads((zoo.DATA / "results" / "growing.json").read_text())
runs = {name.replace("switched", "at once"): list(seeds.values()) for name, seeds in results["runs"].items()}
print("runs:", ", ".join(f"{name} {len(seeds)}" for name, seeds in runs.items()))


def change(run, resolution):
    """When the block of this resolution comes in, by the log; and the log from 20 thousand images before it to 60 thousand after
    it."""
    begin = max(row["images"] for row in run["log"] if row["resolution"] <= resolution // 2)
    rows = [row for row in run["log"] if -20_000 <= row["images"] - begin <= 60_000]
    return [(row["images"] - begin) / 1000 for row in rows], [-row["D_loss"] for row in rows]


fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
for ax, resolution in zip(axes, (16, 32)):
    for name in ("grown", "at once"):
        for run in runs[name]:
            ax.plot(*change(run, resolution), color=COLOR[name], linewidth=1.5, label=name)
    ax.axvline(0, color="#444444", linestyle="--", linewidth=1)
    ax.set(xlabel="thousand images since the block came", title=f"to {resolution} px")
axes[0].set_ylabel("−(critic's loss)")
handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1]))
fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2)
plots.show(fig, alt="Minus the critic's loss around the transitions to 16 and 32 pixels. With a fade it rises in a bend; "
                    "switched at once it jumps, in one run down before it goes up, and ends above the other.")
print("−(critic's loss)       before   largest change between two lines of the log, within 20 thousand images")
for resolution in (16, 32):
    for name, group in runs.items():
        for run in group if name != "full size" else ():
            x, y = change(run, resolution)
            before = sum(b for a, b in zip(x, y) if a <= 0) / sum(a <= 0 for a in x)
            steps = [abs(b - a) for a, b, t in zip(y, y[1:], x[1:]) if 0 < t <= 20]
            print(f"to {resolution} px, {name:9s} {before:9.1f} {max(steps):8.1f}")

# %% [markdown]
# Switched on at once, the critic's loss leaps within a few thousand images: the critic sees far more to object to than a moment
# ago, and it stays further ahead of the generator than with the fade (at 32 px it was a little ahead already before). With the
# fade it rises too, but with smaller leaps. (While a fade lasts, the critic's task is smaller too: reals and generated images are
# both partly coarse.) And the pictures? The score of every snapshot is taken at 32 pixels against sharp portraits: `frechet` is
# lesson 00's distance by the oracle's features, SWD compares small patches of pixels (PGGAN §5, here the mean over its levels, ×
# 10³, of 5,000 images where the paper takes 16,384; its full name is sliced Wasserstein distance). For both, less is better.
# Count the images since a block came, so that both kinds have trained it for as long.

# %%
def since(run, resolution, thousand):
    """The snapshot so many thousand images after a block came, if there is one."""
    begin = max(row["images"] for row in run["curve"] if row["resolution"] < resolution)
    rows = [row for row in run["curve"] if row["resolution"] == resolution and abs(row["images"] - begin - 1000 * thousand) < 1000]
    return rows[0] if rows else None


score = lambda rows, key, digits=0: " and ".join(f"{row[key]:.{digits}f}" if row else "–" for row in rows)
for key in ("frechet", "swd"):
    print(f"{key:8s} after …  20           40           60           80 thousand images")
    for resolution in (8, 16, 32):
        for name in ("grown", "at once"):
            columns = [score([since(run, resolution, k) for run in runs[name]], key) for k in (20, 40, 60, 80)]
            print(f"{resolution:2d} px, {name:8s}  " + "".join(f"{column:13s}" for column in columns).rstrip())

# %% [markdown]
# Each gives two numbers, one for each seed. In the middle of a fade, after 20 thousand images, SWD is better with it; the Fréchet
# distance is not, at 16 px it is as bad as without. (A snapshot every 20,000 images is too coarse to show a jolt of the scores at
# the transition itself.) At its end, after 40 thousand, both scores are worse with it, or no better. The new block has worked
# under a small weight for most of that time, and what is measured is a generator whose weights are *averaged*: its α is not yet
# theirs, as you saw above. (These fades are four times as short, so the lag is four times as large a share.) Soon afterwards the
# grown runs have caught up, and after 80 thousand images the Fréchet distances are close at 8 px and at 16 px. One difference is
# clear: SWD at 16 px is 40 and 41 with the fade, 51 and 54 without. (At 8 px it is about the same. At 32 px the run without a fade
# ends before that: its last block has 40 thousand images, half of what the grown runs give theirs.) So in this small setting you
# see the jolt, that α weakens it, and that one of the two scores ends up better with the fade, at one of the two sizes where both
# can be compared.
#
# ## Measured: growing against full size

# %%
plans = {"grown": dict(stable=40_000, fade=40_000), "full size": dict(start=32), "at once": dict(stable=80_000, fade=0)}
small = json.loads((zoo.DATA / "results" / "growing_speed_32.json").read_text())
per_image = {(stage["resolution"], stage["fading"]): stage["ms_per_image"] / 1000 for stage in small["stages"]}
print(small["command"])
print("images/s of these networks, on two CPU cores:", ", ".join(
    f"{1 / time:.0f} ({r} px{', fading' if fades else ''})" for (r, fades), time in per_image.items()))


def minutes(name):
    """Cumulated, every thousand images, with the speed of every stage, each measured alone."""
    total = [0.0]
    for i in range(500, 280_000, 1_000):
        resolution, alpha = schedule.growing(i, 32, **plans[name])
        total.append(total[-1] + 1_000 / 60 * per_image[resolution, alpha < 1])
    return total


fig, axes = plt.subplots(2, 2, figsize=(7, 5), sharey="row", sharex="col")
for name in ("grown", "full size"):
    clock = minutes(name)
    for run in runs[name]:
        for row, key in zip(axes, ("frechet", "swd")):
            y = [point[key] for point in run["curve"]]
            row[0].plot([point["images"] / 1000 for point in run["curve"]], y, color=COLOR[name], linewidth=1.5, label=name)
            row[1].plot([clock[round(point["images"] / 1000)] for point in run["curve"]], y, color=COLOR[name], linewidth=1.5)
for ax, text in zip(axes[:, 0], ("frechet (less is better)", "SWD (less is better)")):
    ax.set(ylabel=text, ylim=(0, None))
    for begin in (40, 120, 200):
        ax.axvline(begin, color=COLOR["grown"], linestyle=":", linewidth=1)
axes[1, 0].set_xlabel("thousand images")
axes[1, 1].set_xlabel("minutes of two CPU cores")
handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1]))
fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2)
plots.show(fig, alt="Fréchet distance and SWD against images and against minutes of two CPU cores. Against images full size is "
                    "ahead in SWD; against time the grown runs come to about the same Fréchet distance at their end. Dotted lines "
                    "mark when the grown runs get a new block.")

# %%
for name in ("grown", "full size"):
    last = [run["curve"][-1] for run in runs[name]]
    print(f"{name:9s} after {last[0]['images'] / 1000:.0f} thousand images, {minutes(name)[-1]:3.0f} minutes:   frechet "
          f"{score(last, 'frechet'):11s}   SWD {score(last, 'swd'):9s} MS-SSIM {score(last, 'ms_ssim', 2)}")
print("(MS-SSIM: how much two generated images are alike, on average; less is more variety)")
clock = minutes("full size")
reached = max(i for i, t in enumerate(clock) if t <= minutes("grown")[-1])
near = [min(run["curve"], key=lambda row: abs(row["images"] / 1000 - reached)) for run in runs["full size"]]
print(f"In the time of the grown runs full size sees {reached} thousand images.\nIts snapshot after {near[0]['images'] / 1000:.0f} "
      f"thousand: frechet {score(near, 'frechet')}, SWD {score(near, 'swd')}")

# %% [markdown]
# At equal numbers of images growing does *not* win here: the Fréchet distances overlap, and in SWD full size is clearly better.
# That is little wonder. Of its images the grown generator has seen only the last 40,000 at 32 pixels without a fade; the other
# has seen nothing else. At equal *time* it does not win either: full size has come about as far by then (its snapshot is a little
# later than that moment). (The runs with α = 1 at once are left out here: 280,000 images give their last block only 40,000, the
# grown runs' 80,000.) (The time is that of two CPU cores, with these very networks, each stage measured alone.) And 32 pixels
# are a small task. The claim is about large ones.
#
# In the paper (Table 1, CelebA, as reported there) growing takes the mean SWD from 9.28 to 4.28, row (a) to row (b), at nearly
# the same MS-SSIM, .2854 and .2838.
#
# ## Measured: time
#
# What growing saves depends on how much more expensive the last resolution is than the others. Here is the time of one image in
# one step of training, both networks, each stage measured alone on one GPU (`python benchmarks/growing_speed.py pggan`): the
# shipped model's networks, and networks of the paper's width up to 1024 pixels.

# %%
speeds, large = (json.loads((zoo.DATA / "results" / f"{name}.json").read_text())
                 for name in ("growing_speed", "growing_speed_1024"))
tables = [{(stage["resolution"], stage["fading"]): stage["ms_per_image"] for stage in data["stages"]} for data in (speeds, large)]
print(f"milliseconds per image, {speeds['device']} and {large['device']}\n            shipped model       paper's width"
      "\n           stable   fading     stable   fading")
for r in [4 << i for i in range(9)]:
    cells = [f"{table[r, fading]:9.3f}" if (r, fading) in table else "        –" for table in tables for fading in (False, True)]
    print(f"{r:5d} px {cells[0]}{cells[1]}  {cells[2]}{cells[3]}")
print("not measured:", large.get("missing", "nothing"))


# %%
def hours(table, resolution, stable, fade, more=0):
    """The whole schedule grown and at full size, and `more` images at the end. A fade that is missing counts as its stable
    phase."""
    r, phases = 4, []
    while r <= resolution:
        phases += [(r, False, stable), (r, True, fade if r > 4 else 0)]
        r *= 2
    phases.append((resolution, False, more))
    cost = sum(n * table.get((r, fading), table[r, False]) for r, fading, n in phases if n)
    return cost / 3.6e6, table[resolution, False] * sum(n for _, _, n in phases) / 3.6e6


written = lambda time: f"{60 * time:.0f} min" if time < 1 else f"{time:.0f} h"
print("                                         grown   full size   ratio")
at_its_end = card["images"] - 4 * sum(plan.values()) - plan["stable"]
for name, table, resolution, phases, more in (
        ("64 px, the shipped model", tables[0], 64, plan, at_its_end),
        ("1024 px, 600 + 600 thousand", tables[1], 1024, dict(stable=600_000, fade=600_000), 0),
        ("1024 px, 800 + 800 thousand", tables[1], 1024, dict(stable=800_000, fade=800_000), 0),
        ("the same, 10 million images more", tables[1], 1024, dict(stable=800_000, fade=800_000), 10_000_000)):
    grown, whole = hours(table, resolution, **phases, more=more)
    print(f"{name:36s}{written(grown):>10s}{written(whole):>12s}{whole / grown:8.1f}")

# %% [markdown]
# For equal numbers of images growing is faster by the factor in the last column: less for 64 px than for 1024 px, for at small
# sizes four times the pixels cost only about twice as much, and the large ones weigh the more. (The table jumps where the number
# of feature maps or the batch changes. Where the fade into 1024 px was not measured it counts like a stable step, which the
# others show to be about a tenth cheaper.) The paper reports two to six times for comparable quality, and 5.4 times for 1024 px
# after 6.4 million images, on other GPUs and with another schedule. The last line shows why the number is never one number: once
# the full size is reached, both cost the same, so the longer you train there, the less growing saves.
#
# From StyleGAN2 on networks do not grow: the authors find that skip and residual connections train as well at full size, without
# any fade (§4 there). Lesson 05 looks at which resolutions such a network uses in the course of its training.
#
# ## Summary
#
# - A generator grows from 4 × 4 by doublings; the layers below stay and go on learning.
# - A new block fades in: (1 − α) of the previous toRGB, α of the new one. The critic and the reals do the same, or else the
#   critic wins by detail alone.
# - Switched on at once, a block makes the picture and the critic's loss leap; α weakens that. Once the block has trained for a
#   while little of it is left: in our small runs one score at one size is better with the fade, the others are alike.
# - α is right only near the value that a network trains with: at the end the previous toRGB is stale.
# - Growing saves time because early images are small. At 32 px that gained nothing here, neither for equal numbers of images nor
#   for equal time; the saving grows with the size.
#
# **Read next**: §2 and App. A of the [PGGAN paper](https://arxiv.org/abs/1710.10196); `course_lib/networks/pggan.py`, which
# calls the library's versions of what you wrote, and `course_lib/training/growing.py`, the training around it. Lesson 02 takes
# up what keeps this training stable.
