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
# # 04 · Noise: detail that no style decides
#
# > **The claim** (StyleGAN; Karras et al. 2019, §3.2): where every freckle sits is nobody's decision. Give each layer an image of
# > random numbers, and the generator draws such detail from it: other noise, other strands of hair, the same person.
#
# You will
#
# - see in the world itself what is decided and what is chance;
# - write **add_noise**, and run it in the generator;
# - write the **standard deviation of every pixel** over draws of noise, and map where noise acts;
# - switch the noise of every level and of every single layer off and on, and resample it;
# - let the judge say, layer by layer, whether noise leaves the person alone, and what is lost without any.
#
# 50–60 minutes. You need lesson 03.

# %%
import json

import matplotlib.pyplot as plt
import torch

from course_lib import exercises, ops, plots, portraits, widgets, zoo
from course_lib.exercises import ____
from course_lib.metrics import style_analysis
from course_lib.networks import classifiers

torch.manual_seed(0)
ex = exercises.lesson("04")
G = zoo.load("stylegan-portraits-64")

# %% [markdown]
# ## The problem
#
# The world keeps its chance apart: attributes say *that* somebody has freckles and curls, a separate field of random numbers says
# where each of them goes. So it can draw one person twice.

# %%
people = portraits.attributes(freckles="freckles", hairstyle="parting", hair_texture="curly", hair_color="brown", hair_length=0.8)
person = {name: value.repeat(6) for name, value in people.items()}
same = portraits.render(person, 64, portraits.sample_noise(6, seed=1))
one_field = portraits.sample_noise(1, seed=1).repeat(6, 1, 1, 1)
print(f"the same attributes, other noise: the largest change of a pixel is {(same - same[:1]).abs().max():.2f}; "
      f"the same noise: {(portraits.render(person, 64, one_field) - same[:1]).abs().max():.2f}")
differences = torch.cat([torch.ones(1, 3, 64, 64), 1 - 4 * (same[1:] - same[:1]).abs()])
plots.show(plots.image_grid(torch.cat([same, differences]), columns=6, scale=3, labels=["drawn", "difference"]),
           alt="The same person six times. Below, the difference from the first picture, four times as strong: specks in the hair "
               "and on the nose and cheeks, white everywhere else.")

# %% [markdown]
# > **Predict.** A PGGAN has nothing but its latent $z$, some hundred numbers. It wants to draw freckles that look random. Where
# > does it get random numbers from?
#
# <details><summary><b>Answer</b></summary>
#
# It has to make them, out of $z$: with layers that act as a pseudo-random generator. That costs capacity, and it is hard to do
# well; the paper blames it for repeating patterns. And then a small step in $z$, meant to turn the head, moves all the freckles,
# too.
# </details>
#
# ## Noise inputs
#
# So StyleGAN supplies them. Right after the convolution, before bias, leaky ReLU and AdaIN, a layer gets one picture $n$ of
# independent Gaussian numbers, and each of its feature maps adds as much of it as it likes:
#
# $$x_i \leftarrow x_i + b_i\, n\qquad\text{(§2, Fig. 1b: “B”)}$$
#
# $b_i$ is learnt, one for each map. It starts at 0, so at first there is no noise at all: the generator has to find out that
# noise is good for something.
#
# ### Exercise 1 · add_noise
#
# `x` is $[N, C, H, W]$, `noise` $[H, W]$ or $[N, 1, H, W]$, `strength` a Python number, a tensor without dimensions, or $[C]$.
# Return a new tensor. $b_i$ is trained, so gradients must reach `x` and `strength`.

# %%
def add_noise(x, noise, strength):
    return ____


ex.add_noise.check(add_noise)

# %% [markdown]
# Here is what the trained generator made of it: how strong the noise of each layer is, against the spread of its feature maps
# before it comes in.

# %%
z = torch.randn(6, G.z_dim, generator=torch.Generator().manual_seed(13))  # chosen for their hair
ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, 0.7)
names = [name for name, _, _ in G.synthesis.style_layers()]
strengths, original = [], ops.add_noise


def watched(x, noise, strength):
    strengths.append((strength.abs() / x.std(dim=(0, 2, 3))).mean().item())
    return original(x, noise, strength)


ops.add_noise = watched
images = G.synthesis(ws, noise="const", impl="reference")
ops.add_noise = original
percent = {name: 100 * strength for name, strength in zip(names, strengths)}
plots.show(plots.bars(percent, "strength of the noise, % of its map's standard deviation, mean over maps", digits=1),
           alt="A bar for each layer: the strength of its noise against the standard deviation of its feature maps. The first is "
               "by far the longest, then come the first at 8 px, the second at 4 and the first at 32.")

# %% [markdown]
# The first layer has taken most, where the map is a constant and noise is all that differs between two images before the style.
# The second layers at 32 and 64 px have taken next to none. How much of it arrives in the picture is another question; see below.

# %% [markdown]
# ## The same person, other noise
#
# > **Predict.** Keep $w$ and resample all noise. What moves: the eyes? The outline? The background?

# %%
def drawn(seed, which=None, ws=ws):
    """Portraits of ws whose noise is drawn from a seed in the layers of `which` (all of them by default); elsewhere it stays."""
    torch.manual_seed(seed)
    fresh = [torch.randn(len(ws), 1, *layer.noise_const.shape) for _, layer, _ in G.synthesis.style_layers()]
    return G.synthesis(ws, noise=[n if which is None or i in which else "const" for i, n in enumerate(fresh)])


with torch.no_grad():
    draws = torch.stack([drawn(seed) for seed in range(16)])
plots.show(plots.image_grid(draws[:4].flatten(0, 1), columns=6, scale=2, labels=[f"draw {i + 1}" for i in range(4)]),
           alt="Six people in four draws of noise each: all stay who they are; the locks along the rim of the hair move, "
               "and mouths a little.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Background and clothes stay, and so does the person. The rim of the hair moves: its locks differ each time. So is, a
# little, the mouth.
# </details>
#
# To see where, measure every pixel: how far does it move between draws?
#
# ### Exercise 2 · pixel_deviation
#
# `images` is $[\text{draws}, N, 3, H, W]$. Return $[N, H, W]$: the variance over the draws (unbiased, so divide by draws − 1),
# averaged over the three colours, and then the root. No gradient is asked for. (Fig. 4c of the paper.)

# %%
def pixel_deviation(images):
    return ____


ex.pixel_deviation.check(pixel_deviation)

# %%
deviation = style_analysis.pixel_deviation(draws)
world = torch.stack([portraits.render(portraits.sample_attributes(6, seed=3), 64, portraits.sample_noise(6, seed=s))
                     for s in range(16)])
of_world = style_analysis.pixel_deviation(world)
limit = 0.3
as_map = lambda x: torch.stack([1 - 2 * (m / limit).clamp(max=1).expand(3, -1, -1) for m in x])
plots.show(plots.image_grid(torch.cat([draws.mean(dim=0), as_map(deviation), world.mean(dim=0), as_map(of_world)]), columns=6,
                            scale=2, labels=["generator, mean", "its std", "world, mean", "its std"]),
           alt="Rows: the mean over sixteen draws of noise for six generated people; how far each pixel moves, dark where it moves "
               "most, which is along the rim of the hair, then mouth and brows; and the same for six portraits of the world: "
               "hair and freckles alone.")
print(f"{len(draws)} draws of {draws.shape[1]} portraits; one seed of latents: 13, and of the world's people: 3")
for name, value in (("generator", deviation), ("world", of_world)):
    top = value.flatten().sort(descending=True).values
    print(f"{name:10s} root mean square {value.square().mean().sqrt():.3f}; a tenth of the pixels holds "
          f"{100 * top[:len(top) // 10].square().sum() / top.square().sum():.0f} % of the variance")

# %% [markdown]
# Dark is where noise acts. In the world that is hair and freckles, by construction, and next to nothing of the image. The
# generator has found the hair: most of what moves lies along its rim, as in the world's curly heads. But it moves more than the
# world does (these six are chosen for their hair; below are others), and it moves mouths, brows and glasses too, where the world
# leaves nothing to chance. So noise is not stochastic detail by nature. It is what training makes of it.
#
# ## Levels
#
# > **Predict.** A pixel of the first layer is a quarter of the picture wide. What can noise there be good for? And what do you
# > expect of a portrait without any noise?

# %%
levels = style_analysis.layers_of(G)


@torch.no_grad()
def kept(noisy):
    """Portraits with noise in these layers only."""
    torch.manual_seed(3)
    return G.synthesis(ws, noise=["random" if i in noisy else "none" for i in range(G.num_ws)])


everything = range(G.num_ws)
choices = {"all": everything, "none": ()} | {name: range(*span) for name, span in levels.items()}
plots.show(plots.image_grid(torch.cat([kept(chosen) for chosen in choices.values()]), columns=6, scale=2, labels=list(choices)),
           alt="Six people with noise in all layers, in none, in the coarse, in the middle and in the fine layers only. Their hair "
               "has locks with all and with the middle ones; otherwise it is a smooth cap. The faces look alike in all rows.")


# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Without noise the hair is a smooth cap, and the faces look the same: those the styles decide nearly alone. Coarse noise moves
# pixels, too (measured below), but too little to see here. The locks come from the middle layers, nearly all of them from one at
# 32 pixels; the fine layers add a grain.
# </details>

# %% [markdown]
# Now do it yourself. `layers` takes all, a level or a single layer; `noise` resamples theirs, switches it off, or switches all
# others off. The last row is the difference from the portraits above, four times as strong, as in the world's picture at the
# beginning.

# %%
chosen_by = {"all": set(everything)} | {name: set(range(*span)) for name, span in levels.items()} | {
    name: {i} for i, name in enumerate(names)}
with torch.no_grad():
    stored = G.synthesis(ws[:4], noise="const")


@torch.no_grad()
def redrawn(layers="all", noise="resampled", seed=0):
    chosen = chosen_by[layers]
    if noise == "resampled":
        now = drawn(seed, chosen, ws[:4])
    else:
        off = chosen if noise == "off" else set(everything) - chosen
        now = G.synthesis(ws[:4], noise=["none" if i in off else "const" for i in everything])
    rows = torch.cat([stored, now, 1 - 4 * (now - stored).abs()])
    return plots.image_grid(rows, columns=4, scale=2, labels=["stored noise", f"{layers}: {noise}", "difference"])


widgets.explorer(redrawn, layers=list(chosen_by), noise=["resampled", "off", "all others off"], seed=widgets.redraw("Draw again"),
                 delay=0.1, alt="Four people with their stored noise; the same with all noise resampled; and the difference, four "
                 "times as strong, which runs along the rim of the hair, with faint specks in the faces. Controls choose the "
                 "layers, switch noise off or draw it again.")

# %% [markdown]
# ## Measured: does the person stay?
#
# The noise of some layers was resampled, and the judge classified both pictures (`python experiments/styles.py
# stylegan-portraits-64 stylegan2-portraits-64`). "Pixels" is the standard deviation of exercise 2, here over two draws. An
# attribute's change is the share of portraits whose class changes, or the mean change in standard deviations of the world; the
# mean over all attributes mixes the two and is good for comparing rows only. The row "none" compares a draw with the same
# portrait without any noise. Beside it the same for lesson 05's StyleGAN2, which has noise inputs too, one strength for each
# layer, and was trained to a much smaller Fréchet distance.
#
# > **Predict.** Is the row "none" larger than the row "all", or smaller? Two draws lie on two sides of their mean. Where does a
# > portrait without noise lie?

# %%
styles = json.loads((zoo.DATA / "results" / "styles.json").read_text())
models = {name: styles["models"][f"{name}-portraits-64"] for name in ("stylegan", "stylegan2")}
effects = {name: figures["noise"] for name, figures in models.items()}
mean = lambda change: sum(change["attributes"].values()) / len(change["attributes"])
print(styles["command"])
print(f"{models['stylegan']['noise_portraits']} portraits; one seed of latents and noise: {styles['seeds'][0]}")
print("                           StyleGAN               StyleGAN2\n"
      "noise resampled in    pixels   attributes     pixels   attributes")
for level in ("all", *levels, "none"):
    print(f"{level:20s}"
          + "".join(f"{effects[name][level]['pixels']:8.3f} {mean(effects[name][level]):12.3f}  " for name in effects))
without = effects["stylegan"]["none"]
print(f"StyleGAN without noise: pixels move {without['pixels'] / effects['stylegan']['all']['pixels']:.2f} times as far as between "
      f"two draws (StyleGAN2 {effects['stylegan2']['none']['pixels'] / effects['stylegan2']['all']['pixels']:.2f}); StyleGAN's "
      "attributes that change most: "
      + ", ".join(f"{key} {value:.2f}" for key, value in sorted(without["attributes"].items(), key=lambda item: -item[1])[:3]))
everywhere = effects["stylegan"]["all"]["attributes"]
for kind, unit in (("continuous", "standard deviations"), ("discrete", "share of portraits")):
    ranked = sorted((spec.name for spec in portraits.ATTRIBUTES if spec.kind == kind), key=lambda key: -everywhere[key])
    print(f"StyleGAN, all noise, {unit}: most " + ", ".join(f"{key} {everywhere[key]:.2f}" for key in ranked[:3])
          + "; least " + ", ".join(f"{key} {everywhere[key]:.2f}" for key in ranked[-3:]))
strongest = max(range(G.num_ws), key=lambda i: effects["stylegan"][f"layer {i}"]["pixels"])
print(f"the layer whose noise moves pixels furthest: {names[strongest]}")

# %%
of_layer = {"StyleGAN": ("stylegan", names), "StyleGAN2": ("stylegan2", names[1:])}      # StyleGAN2 begins with one layer at 4 px
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
for ax, what, value in zip(axes, ("standard deviation of a pixel", "mean change of the attributes"),
                           (lambda change: change["pixels"], mean)):
    for (label, (model, layers)), shift in zip(of_layer.items(), (-0.2, 0.2)):
        moved = [value(effects[model][f"layer {i}"]) for i in range(len(layers))]
        ax.barh([names.index(name) + shift for name in layers], moved, 0.4, label=label)
    ax.set(xlabel=what, yticks=range(len(names)), yticklabels=names)
    ax.grid(axis="y", visible=False)
axes[0].invert_yaxis()
axes[1].legend(loc="upper right")
plots.show(fig, alt="Bars for every layer whose noise alone is resampled, in StyleGAN and StyleGAN2: how far a pixel moves, and "
                    "how much the attributes change. In StyleGAN the first layer at 32 px has by far the longest bars in both, "
                    "then come the first at 64 px and the two at 4 px. StyleGAN2's bars are all very short.")

# %% [markdown]
# <details><summary><b>Reading it</b></summary>
#
# In the StyleGAN of this lesson noise leaves most of the person alone: background, clothes, light, skin and length of hair hardly
# change. Nose, smile and brows do, by a part of the standard deviation between people. In some portraits the judge reads another
# texture of hair, other freckles or other glasses. All of these are a few pixels wide; this generator leaves some of them to
# chance. Most of that is the doing of one layer at 32 pixels, in pixels and in attributes; the first layer at 64 pixels and the
# two at 4 come next, and the last layer does next to nothing.
#
# Without noise pixels move less far than between two draws. Two draws deviate from the mean of *all* draws independently, so their
# variances add, and they differ by $\sqrt 2$ times as much as one draw differs from that mean. If a portrait without noise were
# exactly that mean, the ratio would be $1/\sqrt 2 = 0.71$; in StyleGAN it is about that. Yet the attributes change *more*, the
# texture of hair most of all. The mean of many draws is not one of them: it has no locks.
#
# In StyleGAN2, which draws much better faces, noise moves no pixel that you could see, and next to no attribute: far less than
# the world itself moves between two draws.
# </details>
#
# So does StyleGAN2 draw no freckles and no curls? Here are the first of a seed in which the judge sees both, with noise and
# without, and how often it sees them in 64 portraits of each network.

# %%
judge = zoo.load("judge-portraits-64")
spec_of = {spec.name: spec for spec in portraits.ATTRIBUTES}
wanted = {"hair_texture": "curly", "freckles": "freckles"}


@torch.no_grad()
def predicted(network, noise):
    """Portraits, and in which of them the judge sees curls and freckles."""
    z = torch.randn(64, network.z_dim, generator=torch.Generator().manual_seed(1))
    pictures = torch.cat([network(part, noise=noise) for part in z.split(32)])
    found = classifiers.predict(judge, pictures)
    return pictures, *(found[name] == spec_of[name].values.index(value) for name, value in wanted.items())


networks = {"StyleGAN": G, "StyleGAN2": zoo.load("stylegan2-portraits-64")}
with_noise, without_noise = ({name: predicted(network, noise) for name, network in networks.items()} for noise in ("const", "none"))
for name in networks:
    for label, (_, curly, freckled) in (("with noise", with_noise[name]), ("without", without_noise[name])):
        print(f"{name:9s} {label:10s}  curly {100 * curly.float().mean():2.0f} %, freckles {100 * freckled.float().mean():2.0f} %")
pictures, curly, freckled = with_noise["StyleGAN2"]
both = (curly & freckled).nonzero()[:6, 0]
now, before = without_noise["StyleGAN2"][0][both], pictures[both]
assert (now - before).abs().max() < 0.1
rows = torch.cat([before, now, 1 - 4 * (now - before).abs()])
plots.show(plots.image_grid(rows, columns=len(both), scale=2, labels=["StyleGAN2", "no noise", "difference"]),
           alt="Portraits of StyleGAN2 with curls and freckles; the same without noise; the difference, four times as strong, is "
               "white everywhere.")

# %% [markdown]
# It draws both, and noise has no part in it: freckles and curls are where $w$ puts them. In StyleGAN curls do need noise. So the
# paper's claim shows in one of the two networks, with a blemish, and the better one does without noise. Why is not tested here: the
# two differ in more than one thing, and what chance decides is a small part of these pictures.
#
# In the paper (Fig. 4 and 5) noise moves hair, stubble, freckles and pores, and leaves identity and pose alone; without noise,
# pictures look "painterly"; coarse noise makes large curls, fine noise fine ones. FID falls from 5.07 to 5.06 on CelebA-HQ and
# from 4.88 to 4.42 on FFHQ when noise is added (Table 1, as reported there). How far pixels or attributes move it shows in
# pictures, without a number.
#
# ## Summary
#
# - Detail that no latent decides needs random numbers; noise inputs supply them, so that the generator need not make them itself.
# - Each feature map learns how much noise it takes, beginning with none.
# - A map of the standard deviation over draws shows where noise acts; the judge shows whether the person stays. Here one layer of
#   ten does most of it.
#
# **Read next**: §3.2 of the [StyleGAN paper](https://arxiv.org/abs/1812.04948); `Layer` in `course_lib/networks/stylegan.py`.
# [Lesson 05](05_demodulation.ipynb) moves noise and bias to where they cannot disturb the style.
