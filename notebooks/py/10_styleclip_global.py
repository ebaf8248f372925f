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
# # 10 · Global directions: from a sentence to a direction
#
# > **The claim** (StyleCLIP, §6): measure once how CLIP answers to every style channel of a generator. From then on *any*
# > sentence becomes a direction in style space, at once, and the same direction serves every portrait.
#
# You will
#
# - turn two sentences into a direction $\Delta t$ in CLIP's space;
# - see how CLIP answers to a single **channel** of $S$, and which channels a sentence asks for;
# - cut off the channels that hardly matter, with $\beta$, and walk along the rest, with $\alpha$;
# - compare the three methods of StyleCLIP in one table.
#
# 60–75 minutes. You need lesson 08; lesson 05 explains the styles.

# %%
import json

import matplotlib.pyplot as plt
import torch

from course_lib import clip, exercises, ops, plots, results, styleclip, widgets, zoo
from course_lib.exercises import ____

torch.manual_seed(0)
torch.set_grad_enabled(False)
ex = exercises.lesson("10")
# These names choose the models. "stylegan2-ffhq-1024" (NVIDIA's, for non-commercial use) and "ViT-B-32/openai" are downloaded when
# you ask for them, and bring photographs.
# Statistics belong to both: for others, name the file that `python -m course_lib.styleclip statistics --generator … --clip …`
# writes.
GENERATOR, CLIP, STATISTICS = "stylegan2-portraits-64", "clip-portraits", zoo.file("statistics-portraits-64")

G, clip_model = zoo.load(GENERATOR), clip.load(CLIP)
try:
    statistics = styleclip.load_statistics(STATISTICS, G, clip_model)
except ValueError as error:
    statistics = None
    print(f"Left out: the directions of S. {error}.")
board, eye = map(results.load, ("scoreboard", "eye-labels"))
z = torch.randn(4, G.z_dim, generator=torch.Generator().manual_seed(7))
ws = ops.truncate(G.mapping(z)[:, None].expand(-1, G.num_ws, -1), G.w_avg, 0.7)
styles = G.styles(ws)
before = G.synthesis(styles=styles, noise="const")

# %% [markdown]
# ## A direction between two sentences
#
# The embedding of one sentence says where in CLIP's space such images lie. But an edit is a *change*, and a change has two ends:
# "a person" and "a person with red hair". Their difference should be what "with red hair" adds.
#
# One sentence is a noisy thing, though. "A person with red hair", "a drawing of a person with red hair", "the face of a person
# with red hair" say the same to us and not quite the same to CLIP. So each description is put into several **templates**, and the
# embeddings are averaged (prompt engineering, Radford et al. 2021; StyleCLIP §6.1). The paper says 80 of them, of which 79 are
# active in the code; our CLIP has read twelve.

# %%
print("\n".join(clip.TEMPLATES))


def agreement(target):
    """Lowest cosine between Δt of one template and that of all of them."""
    pair = [clip_model.encode_texts([template.format(text) for template in clip.TEMPLATES]) for text in ("a person", target)]
    each = torch.stack([styleclip.direction_between(neutral[None], one[None]) for neutral, one in zip(*pair)])
    return (each @ styleclip.direction_between(*pair)).min()


target = "a person with red hair"
for text in (target, "a frowning person", "a person looking left"):
    print(f"{text:24s} lowest cosine of one template with the mean of all: {agreement(text):.2f}")

# %% [markdown]
# Sentences that this CLIP knows well hardly need it: any one template gives nearly the direction of all. It was trained on captions
# in these very templates. For a sentence that it knows less well, one template may lead elsewhere. (Radford et al. 2021, §3.1.4,
# report 3.5 % more accuracy on ImageNet from 80 templates instead of one.)
#
# ### Exercise 1 · direction_between
#
# `neutral` and `target` are the embeddings $[T, D]$ of the two descriptions in their templates, of any length. For each of the
# two: bring every embedding to length 1, average over the templates, bring the mean to length 1. Then subtract, neutral from
# target, and bring the difference to length 1. Return $\Delta t$, $[D]$.

# %%
def direction_between(neutral, target):
    return ____


ex.direction_between.check(direction_between)

# %% [markdown]
# ## What a channel says to CLIP
#
# Now the other side. The generator's convolutions read nearly two thousand style channels, and each is one number for one
# feature map. Turn a single one up and down: what changes? You could look. CLIP can look at *all* of them, and write down each
# change as a direction in the same space in which $\Delta t$ lives.
#
# For a channel $c$, images with $s_c$ lowered and raised by several of its deviations $\sigma_c$ are shown to CLIP, for many
# portraits, and the change of the embedding is averaged. The paper goes five deviations to each side. For this generator it was
# tried how far is best: statistics measured at twelve led to more successful edits than those at 5, 8 or 30, and to as many as
# those at 20 (`data/HISTORY.md`). Edits go far, and what a channel does far away need not be what it does nearby.
#
# ### Exercise 2 · mean_change
#
# `before` (with $s_c$ lowered) and `after` (raised) are embeddings $[\text{images}, \dots, D]$, where … may be nothing, or
# channels. Each image's change, `after` − `before`, is brought to length 1; then they are averaged over the images; then the mean
# is brought to length 1. Return $\Delta i$, $[\dots, D]$.
#
# A channel that does nothing gives rounding errors, and a unit vector of rounding errors is a lie: where the mean *length* of the
# changes is at most 0.00001, return zeros. Without the two normalisations the scale of $R$ below would depend on how loud a
# channel is, and the $\beta$ of the paper would mean nothing.

# %%
def mean_change(before, after):
    return ____


ex.mean_change.check(mean_change)

# %% [markdown]
# The course has measured all channels of the convolutions (`python -m course_lib.styleclip statistics`; the colours' own layers,
# toRGB, are left out as in the paper). What remains for a sentence is one product per channel, its **relevance**:
#
# $$R_c(\Delta t) = \langle \Delta i_c, \Delta t\rangle \qquad\text{(§6)}$$

# %%
if statistics:
    direction = styleclip.text_direction(clip_model, "a person", target)
    relevances = [None if changes is None else styleclip.relevance(changes, direction) for changes in statistics.changes]
    names = statistics.info["layers"]
    every = torch.cat([r for r in relevances if r is not None])
    fig, ax = plt.subplots(figsize=(8, 2.6))
    start = 0
    for name, r in zip(names, relevances):
        if r is not None:
            ax.plot(range(start, start + len(r)), r.abs(), ".", markersize=3)
            ax.text(start + len(r) / 2, every.abs().max() * 1.06, name.replace(".", "\n"), ha="center", fontsize=6)
            start += len(r)
    ax.set(xlabel="style channel, in the order of the layers", ylabel="|R|", ylim=(0, every.abs().max().item() * 1.25))
    plots.show(fig, alt="The absolute relevance of every style channel for red hair, layer by layer: most are small, "
                        "some stand out.")
    print(f"{len(every):,} channels; |R| above 0.1 in {int((every.abs() > 0.1).sum())}, above 0.2 in "
          f"{int((every.abs() > 0.2).sum())}; the largest {every.abs().max():.2f}")

# %% [markdown]
# The published $\beta$ range from about 0.08 to 0.4. This CLIP's vectors have 192 entries instead of 512, and in a smaller space
# more channels point a little the same way.
#
# > **Predict.** The most relevant channel alone, turned by five deviations: will it do?

# %%
if statistics:
    best = max((r.abs().max().item(), i, int(r.abs().argmax())) for i, r in enumerate(relevances) if r is not None)[1:]


    def one_channel(amount):
        moved = [s.clone() for s in styles]
        sign = relevances[best[0]][best[1]].sign()
        moved[best[0]][:, best[1]] += sign * amount * statistics.sigma[best[0]][best[1]]
        return G.synthesis(styles=moved, noise="const")


    plots.show(plots.image_grid(torch.cat([one_channel(-5), before, one_channel(5), one_channel(15)]), columns=4,
                                labels=["−5 σ", "as it is", "+5 σ", "+15 σ"]),
               alt="Four portraits with their most relevant channel lowered, as it is, and raised by five and fifteen deviations.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# For one portrait it does: five deviations turn the first one's black hair red. The other three hardly answer; at fifteen the
# hair of two more turns red in patches, and the first gets blotches. StyleSpace (Wu et al. 2021) found many channels in FFHQ's
# generator that control one thing, for everybody. Here a sentence asks for more than one channel can give.
# </details>
#
# ## The channels that count
#
# Take them all, each by its relevance? Then the many that matter a little for *everything* move too, and the portrait changes in
# ways that nobody asked for. So a threshold $\beta$ silences the small ones:
#
# $$\Delta s_c = \begin{cases} \sigma_c\, R_c \,/ \max_k |R_k| & \text{if } |R_c| \ge \beta\\ 0 & \text{otherwise}\end{cases}
# \qquad\text{(§6, scaled as in the published code)}$$
#
# ### Exercise 3 · thresholded
#
# `relevances` and `sigma` are $[\text{channels}]$, `beta` is a number. The largest $|R|$ is `largest` if that is given (that of
# all layers, when these are the channels of one), and otherwise that of these relevances. Return $\Delta s$, $[\text{channels}]$.
# Keep the sign.

# %%
def thresholded(relevances, sigma, beta, largest=None):
    return ____


ex.thresholded.check(thresholded)

# %% [markdown]
# ### Exercise 4 · shifted
#
# The edit itself: $s' = s + \alpha\,\Delta s$. `styles` is a list of $[N, \text{channels}]$, one for each layer, `direction` a
# list of $[\text{channels}]$; `alpha` is a number, or a tensor $[N]$ with one for each image. Return a new list.

# %%
def shifted(styles, direction, alpha):
    return ____


ex.shifted.check(shifted)

# %% [markdown]
# ## Any sentence, at once
#
# Nothing is searched and nothing is trained. Type what you have, what you want, and move $\alpha$ and $\beta$. A negative
# $\alpha$ goes the other way. Then type "a person wearing a hat": every sentence gives a direction, but it does not lead every
# portrait to what the sentence says.

# %%
def directed(neutral="a person", target="a person with glasses", alpha=1.5, beta=0.2):
    direction = styleclip.global_direction(statistics, clip_model, neutral, target, beta=beta)
    after = styleclip.edit(G, styles, direction, alpha).images
    moved = sum(int((d != 0).sum()) for d in direction)
    return plots.with_caption(plots.image_grid(torch.cat([before, after]), columns=4, labels=["before", "after"]),
                              f"{moved:,} channels move")


widgets.explorer(directed, neutral="", target="", alpha=(-3.0, 3.0, 0.25), beta=(0.0, 0.5, 0.05), delay=0.1,
                 alt="Four portraits, and below them the same along the direction of a sentence.") if statistics else print(
    "Left out: no statistics belong to this generator and CLIP.")

# %% [markdown]
# Both sliders at a glance, for red hair and the first portrait:

# %%
if statistics:
    alphas, betas = (0, 1, 2, 4, 8), (0.05, 0.1, 0.2, 0.3)
    directions = [styleclip.global_direction(statistics, clip_model, "a person", target, beta=beta) for beta in betas]
    grid = torch.cat([styleclip.edit(G, [s[:1] for s in styles], d, alpha).images for d in directions for alpha in alphas])
    labels = [f"β = {beta}, {sum(int((s != 0).sum()) for s in d)} channels" for beta, d in zip(betas, directions)]
    plots.show(plots.image_grid(grid, columns=5, scale=2, labels=labels, titles=[f"α = {alpha}" for alpha in alphas]),
               alt="One portrait for five α and four β. With β = 0.05 the hair is red at α = 2, with a yellow shirt, and the "
                   "portrait breaks at 8. With β = 0.3 the hair is red at α = 4, and the shirt stays as it was.")

# %% [markdown]
# With many channels the hair turns red at a smaller $\alpha$, the shirt turns yellow, and at $\alpha = 8$ the portrait breaks.
# With five channels it takes a larger $\alpha$, and the shirt stays. Further is not redder: at $\alpha = 8$ it is dark again
# with 14 channels or more, and brown with five.
#
# ## Measured: α and β
#
# Which $\alpha$, and which $\beta$? Portraits differ, and so do sentences. The paper leaves both to a person at two sliders.
# Here, where thousands of edits wait, CLIP and the identity network decide (`styleclip.best_edit`, lesson 09). For each of six
# $\beta$ the $\alpha$ of a portrait grows, up to 10, until its cosine with the sentence reaches the similarity target: that of the
# nearest one in forty of the generator's own portraits (lesson 08). The best of all these edits is taken: of those at which the
# identity network still sees the same person, the one nearest to the target, and of several that reach it the one that preserves
# the person best. A portrait that no edit improves stays as it was.
#
# Three sentences (a smile, long hair, red hair) with sixteen portraits each. On the left one $\alpha$ for all portraits, with β =
# 0.2; on the right one $\beta$ for all, and each portrait has its own $\alpha$.

# %%
if results.belong_to(GENERATOR, CLIP):
    mine = board["methods"]["global direction"]
    fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for ax, name, label in zip(axes, ("alpha", "beta"), ("α", "β")):
        for i, (key, word) in enumerate({"success": "success", "identity_preserved": "identity", "leakage": "leakage"}.items()):
            values = [row[name] for row in next(iter(mine["curves"].values()))[name]]
            runs = torch.tensor([[row[key] for row in curves[name]] for curves in mine["curves"].values()], dtype=torch.float64)
            ax.plot(values, runs.mean(dim=0), "o-", color=plots.COLORS[i], label=word)
            print(f"{label} {word:9s}"
                  + "  ".join(f"{value:g}: {mean:.2f}" for value, mean in zip(values, runs.mean(dim=0).tolist())))
        ax.set_xlabel(label)
    for name, label in (("alpha", "α"), ("beta", "β")):
        for prompt, curves in mine["curves"].items():
            print(f"{label} success, {prompt} alone: " + "  ".join(f"{row[name]:g}: {row['success']:.2f}" for row in curves[name]))
    both = [curves["top_fraction"][-1] for curves in mine["curves"].values()]
    print("α and β of each portrait's own: " + ", ".join(
        f"{word} {sum(row[key] for row in both) / len(both):.2f}"
        for key, word in (("success", "success"), ("identity_preserved", "identity"), ("leakage", "leakage"))))
    axes[0].legend()
    plots.show(fig, alt="Success, identity as the identity network sees it, and attribute leakage, against α and against β.")

# %% [markdown]
# One $\alpha$ for all suits nobody. At 0.5 every smile is there, but only a quarter of their persons are kept, and hardly any
# of the other two edits succeed, with nobody lost (so the mean of the three is 0.75); at 4 the smiles are mostly gone themselves.
# On the right nobody is lost, because an edit that loses the person is not taken, and up to β = 0.4 more edits succeed than at
# any one $\alpha$, with half the change of the best of them. But every sentence has a $\beta$ of its own: long hair needs the
# many channels of 0.1 or 0.2, red hair does better with the few of 0.3 or 0.4, and no channel of either reaches 0.5, so that
# smiles alone are left. With both chosen for each portrait two of three come, at a little more change.

# %% [markdown]
# ## Three methods, one table
#
# The same sentences, portraits, judge and raters (three language models that see pictures) for all (`python
# experiments/scoreboard.py`, `python experiments/eye_labels.py`), and all three methods **with this course's additions**:
# similarity targets, the identity threshold, edits chosen among several for each portrait, for search and mapper random views
# and the preservation loss. The paper's plain methods were not measured.

# %%
if results.belong_to(GENERATOR, CLIP):
    methods = board["methods"]
    print(f"success for the judge, and by eye, of 3\n{'':30s}" + "".join(f"{name:>18s}" for name in methods))
    for prompt in mine["prompts"]:
        print(f"{prompt:30s}" + "".join(f"{found['prompts'][prompt]['success']:13.2f}"
                                      f"{sum(eye['methods'][name]['prompts'][prompt]['success']):5d}"
                                      for name, found in methods.items()))

# %%
if results.belong_to(GENERATOR, CLIP):
    print(f"{'':30s}" + "".join(f"{name:>18s}" for name in methods))
    mean = lambda found, key: sum(row[key] for row in found["prompts"].values()) / len(found["prompts"])
    for key, text in (("success", "success"), ("leakage", "attribute leakage, σ"),
                      ("identity_preserved_judge", "identity preserved (judge)")):
        print(f"{text:30s}" + "".join(f"{mean(found, key):18.2f}" for found in methods.values()))
    for key, text in (("success", "seen by eye: success"), ("clean", "seen by eye: clean"),
                      ("identity_preserved", "seen by eye: same person"), ("all three", "seen by eye: all three")):
        print(f"{text:30s}" + "".join(f"{eye['methods'][name][key]:18.2f}" for name in methods))
    agree = ", ".join(f"{question} {min(shares):.2f} to {max(shares):.2f}" for question, shares in eye["agreement"].items())
    print(f"answers of a rater that agree with another's: {agree}; of 12 unedited portraits "
          f"{eye['methods']['unedited']['clean']:.2f} are clean")
    trained = [json.loads(file.read_text()) for file in (zoo.DATA / "results").glob("mapper-*.json")]
    print(f"seconds to train a mapper, {trained[0]['device']}: {sum(run['seconds'] for run in trained) / len(trained):.0f}")
    for place in methods["mapper"]["seconds"]:
        print(f"{'seconds, ' + place:30s}" + "".join(f"{found['seconds'][place]:18.3g}" for found in methods.values()))

# %% [markdown]
# For the judge the mapper succeeds nine times of ten, the search five of six, the direction seven of ten. The direction leaks
# least. By eye, of 36 edits each and in the same order: 27, 25 and 21 succeed, 27, 11 and 21 are clean, 33, 25 and 35 are the
# same person; all three at once hold for 21 of the mapper's, 10 of the search's and 10 of the direction's. The methods differ
# in what they cost, too. On two cores the search took more than two minutes for one portrait that began anew twice. The
# direction took a little over two seconds, most of them for trying up to sixty-six places; at a slider there is one place to
# draw, and that is instant. The mapper, which tries up to seven, took a fifth of a second, and had been trained for its
# sentence first. (The identity network was in the loss of the search and chose among the edits of all three, so that *it* sees
# the same person is true by construction and not in the table. The judge, which took no part, reads the same person in half of
# the mapper's edits, in somewhat more of the direction's, where more portraits stay as they were, and in somewhat fewer of the
# search's.)
#
# Numbers are not enough. Look at what the global direction made of three portraits for each sentence of the table, in its
# order:

# %%
if results.belong_to(GENERATOR, CLIP):
    plots.show(plots.before_and_after(zoo.DATA / "results" / "scoreboard-global-direction.webp", [*mine["prompts"]]),
               alt="Twelve rows, one for each sentence: three portraits, and beside each the same after the edit. All three smile "
                   "and open their mouths; two bare their teeth where a frown was asked for; one wears glasses, one a broken pair; "
                   "two have beards, one of them a yellow one; three have red hair, on one half fair, and two fair hair; no hair "
                   "grows where long hair was asked for; a short crop instead of a bun; one torn afro; a patch of colours instead "
                   "of a hat; three bald or nearly bald heads.")

# %% [markdown]
# Smiles and open mouths come in all three. For a frown the mouths change, but none turns down at its corners; brows are not
# part of the attribute, which is the mouth's alone. One of the three gets glasses and another half a pair. A beard turns out
# yellow on one, and another has lost her bun for it, and has hardly more than a shadow; the identity network still takes this
# for her. (The raters counted that shadow as a beard and the half pair as glasses; look yourself.) Buns become red, fair or
# short, or go; the bald man with the dark beard gets red hair and a red beard, but no fair hair. Long hair and hats stay away
# from these three (in the table two of five get them): of the places at which it was still the same person, none came near
# enough, and such a portrait stays much as it was. That one step for everybody is less than each portrait's own was to be
# expected for hats and hair: it is so for the mappers' steps, too (lesson 09: long hair 0.70 instead of 0.97). For long hair
# and hats it does not explain all: there a mapper's one step still succeeds more often (0.70 and 0.59, against 0.39 and 0.41).
# For red and short hair and bald heads the direction does. One head of curls came in pieces.
#
# What StyleCLIP reports, for FFHQ at 1024 pixels on a GTX 1080Ti, where success was not counted (as reported there):
#
# | | optimization | mapper | global direction |
# |---|---|---|---|
# | before the first sentence | – | – | 4 h for the statistics |
# | before the first edit of a sentence | – | 10–12 h | – |
# | an edit | 98 s | 75 ms | 72 ms |
# | depends on the portrait | yes | yes | no |
# | latent space | $W+$ | $W+$ | $S$ |
#
# ## Summary
#
# - A direction between two *averaged* sentences is meant to be steadier than one between two sentences; our CLIP hardly needs
#   it.
# - CLIP's answer to every channel is measured once for a generator; then a sentence costs one product a channel.
# - $\beta$ decides how many channels move, $\alpha$ how far; the best of both are a portrait's own.
# - Search: any sentence, slow, freest. Mapper: fast after training, suits itself to the portrait. Global direction: instant at
#   a slider, the same directions for all.
#
# **Read next**: §6 of the [StyleCLIP paper](https://arxiv.org/abs/2103.17249); [StyleSpace](https://arxiv.org/abs/2011.12799)
# (Wu et al. 2021), which found that single channels of $S$ control single attributes;
# `course_lib/styleclip/global_directions.py`.
