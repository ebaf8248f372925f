"""How far an edit has to go. The paper leaves that to a person at a slider; here CLIP and the identity network decide, portrait by
portrait."""
import torch
from tqdm import tqdm

from .. import sampling
from ..images import in_colour, unchecked
from .edits import checked_goal, embedded, encoded_prompts, same_device


@unchecked()
@torch.no_grad()
def seen(G, clip, samples=1000, seed=0, batch=250, c=None, progress=False):
    """CLIP's embeddings of the generator's own images, by which `enough` knows what is usual. → [samples, D]

    c: labels of a class-conditional generator, or the number of a class (`sampling.labels`); without them it draws all classes.
    """
    if samples < 1 or batch < 1:
        raise ValueError(f"{samples} portraits, {batch} at a time, show nothing; take at least 1 of each")
    if not hasattr(clip, "encode_images"):
        raise ValueError(f'a {type(clip).__name__} is no CLIP model; pass one of clip.load, such as clip.load("clip-portraits")')
    same_device(G, clip, "CLIP")
    found = []
    with tqdm(total=samples, desc="seen by CLIP", unit="img", disable=not progress) as bar:
        for z, given in sampling.draws(G, samples, seed, c, batch):
            found.append(clip.encode_images(in_colour(G(z, noise="const", **given))))
            bar.update(len(z))
    return torch.cat(found)


def enough(clip, portraits, prompt, share=0.05):
    """The similarity that this share of portraits reach, where an edit may rest: [1] for a prompt, [N] for a list of them.

    portraits: of `seen(G, clip)`. Similarities to two sentences cannot be compared, so what "CLIP finds it" means is asked of the
    generator's portraits: the nearest of them mostly have what the prompt says, if that is not rarer than the share.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it is a part of the generator's portraits, above 0 and below 1")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    text = encoded_prompts(clip, prompts, len(prompts))
    if portraits.ndim != 2 or portraits.shape[1] != text.shape[1]:
        raise ValueError(f"the portraits' embeddings have shape {list(portraits.shape)}, and {clip.name}'s have {text.shape[1]} "
                         "entries; take seen(G, clip) of the same CLIP model")
    return (portraits @ text.T).quantile(1 - share, dim=0)


@unchecked()
@torch.no_grad()
def best_edit(clip, prompt, before, lines, strengths, goal, identity=None, keep=None):
    """Walk N portraits along each of several lines until CLIP finds the prompt in them, and keep the best place of each portrait.
    → (images [N, 3, H, W] on the CPU, the number of the line [N], the strength there [N])

    Each walk begins anew, goes through the strengths from the smallest, and ends where the similarity to the prompt reaches the
    goal and the identity network sees the same person. Best is what comes nearest to the goal without losing the person; of
    several that reach it, what keeps the person best, or without an identity network the first. Where no step is an improvement,
    the portrait stays as it was: line -1, strength 0.
    prompt: one for all or a list of N. before: the unedited images [N, 3, H, W]. lines: functions (rows, strength) → Edit of these
    rows, such as `lambda rows, alpha: edit(G, [s[rows] for s in styles], direction, alpha)`. goal: of `enough`, one or [N].
    identity: images → unit vectors. keep: the cosine from which on it is the same person, by default the network's own threshold.
    Raises ValueError without lines, strengths above 0 or a goal, and for a keep that nothing can be compared with.
    """
    if goal is None or not len(lines) or not len(strengths) or min(strengths) <= 0:
        raise ValueError("a best edit needs lines to walk along, strengths above 0, and a goal to reach; enough(…) gives one for a prompt")
    keep = getattr(identity, "threshold", None) if keep is None else keep
    if (identity is None) != (keep is None):
        raise ValueError("keep, the cosine from which on it is the same person, and an identity network go together: pass both, or a network "
                         "that has a threshold")
    n = len(before)
    text = encoded_prompts(clip, prompt, n)
    text, goal = text.expand(n, -1), checked_goal(goal, n, "cpu").expand(n)
    known = None if identity is None else embedded(identity, before.to(text.device))

    def judged(images, rows):
        images = images.to(text.device)
        near = (clip.encode_images(images) * text[rows]).sum(dim=-1).cpu().minimum(goal[rows])
        return near, torch.ones_like(near) if identity is None else (identity(images) * known[rows]).sum(dim=-1).cpu()

    images, line, strength = before.cpu().clone(), torch.full([n], -1), torch.zeros(n)
    near, person = judged(before, torch.arange(n))
    lacking = (near < goal).nonzero()[:, 0]
    for number, edited in enumerate(lines):
        rows = lacking
        for size in sorted(strengths):
            if not len(rows):
                break
            found = edited(rows, size).images
            now, same = judged(found, rows)
            kept = same >= keep if identity is not None else torch.ones_like(rows, dtype=torch.bool)
            better = kept & ((now > near[rows]) | (now == near[rows]) & (same > person[rows]))
            won = rows[better]
            near[won], person[won], images[won] = now[better], same[better], found[better]
            line[won], strength[won] = number, size
            rows = rows[~(kept & (now == goal[rows]))]
    return images, line, strength
