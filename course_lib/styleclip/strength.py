"""How far an edit has to go. The paper leaves that to a person at a slider; here each portrait goes until CLIP finds the prompt in it."""
import torch

from .edits import checked_goal, device_of, encoded_prompts, same_device


@torch.no_grad()
def seen(G, clip, samples=1000, seed=0, batch=250):
    """CLIP's embeddings of the generator's own portraits, by which `enough` knows what is usual. → [samples, D]"""
    if samples < 1 or batch < 1:
        raise ValueError(f"{samples} portraits, {batch} at a time, show nothing; take at least 1 of each")
    same_device(G, clip, "CLIP")
    z = torch.randn(samples, G.z_dim, generator=torch.Generator().manual_seed(seed)).to(device_of(G))
    return torch.cat([clip.encode_images(G(part, noise="const")) for part in z.split(batch)])


def enough(clip, portraits, prompt, share=0.05):
    """The similarity that this share of portraits reach, where an edit may rest: [1] for a prompt, [N] for a list of them.

    portraits: of `seen(G, clip)`. Similarities to two sentences cannot be compared, so what "CLIP finds it" means is asked of the
    generator's portraits: the nearest of them mostly have what the prompt says, if that is not rarer than the share.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it is a part of the generator's portraits, above 0 and below 1")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    return (portraits @ encoded_prompts(clip, prompts, len(prompts)).T).quantile(1 - share, dim=0)


@torch.no_grad()
def least_strength(clip, prompt, edited, strengths, goal):
    """For each image the smallest strength at which its similarity to the prompt reaches the goal; where none does, the one that
    comes nearest. → [N]

    edited: strength → Edit, such as `lambda alpha: edit(G, styles, direction, alpha)`; goal: of `enough`, one or [N].
    """
    if goal is None or not len(strengths):
        raise ValueError("a least strength needs strengths to choose from and a goal to reach; enough(…) gives one for a prompt")
    similarity, strengths = [], torch.as_tensor(sorted(strengths), dtype=torch.float32)
    for strength in strengths.tolist():
        images = edited(strength).images
        text = encoded_prompts(clip, prompt, len(images))
        similarity.append((clip.encode_images(images.to(text.device)) * text).sum(dim=-1))
    similarity = torch.stack(similarity)
    reached = similarity >= checked_goal(goal, similarity.shape[1], similarity.device)
    first = torch.where(reached.any(dim=0), reached.int().argmax(dim=0), similarity.argmax(dim=0))
    return strengths[first.cpu()]
