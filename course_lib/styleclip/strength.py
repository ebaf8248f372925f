"""How far an edit has to go. The paper leaves that to a person at a slider; here each portrait goes until CLIP finds the prompt in it."""
import torch

from .edits import device_of, encoded_prompts, same_device


@torch.no_grad()
def seen(G, clip, samples=1000, seed=0, batch=250):
    """CLIP's embeddings of the generator's own portraits, by which `enough` knows what is usual. → [samples, D]"""
    same_device(G, clip, "CLIP")
    rng = torch.Generator().manual_seed(seed)
    return torch.cat([clip.encode_images(G(z.to(device_of(G)), noise="const")) for z in torch.randn(samples, G.z_dim, generator=rng).split(batch)])


def enough(clip, seen, prompt, share=0.05):
    """The similarity that this share of the generator's own portraits reach: [1] for a prompt, [N] for a list of them.

    Similarities of two sentences cannot be compared, so what "CLIP finds it" means is asked of portraits: the nearest one in
    twenty have what the prompt says, if anything has (lesson 08). seen: of `seen(G, clip)`.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it is a part of the generator's portraits, above 0 and below 1")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    return (seen @ encoded_prompts(clip, prompts, len(prompts)).T).quantile(1 - share, dim=0)


@torch.no_grad()
def least_strength(clip, prompt, edited, strengths, goal):
    """For each image the smallest strength at which its similarity to the prompt reaches the goal; where none does, the one that
    comes nearest. → [N]

    edited: strength → Edit, such as `lambda alpha: edit(G, styles, direction, alpha)`; goal: of `enough`, one number or [N].
    """
    strengths = torch.as_tensor(sorted(strengths), dtype=torch.float32)
    if not len(strengths):
        raise ValueError("there are no strengths to choose from")
    found = [edited(strength).images for strength in strengths.tolist()]
    text = encoded_prompts(clip, prompt, len(found[0]))
    similarity = torch.stack([(clip.encode_images(images.to(text.device)) * text).sum(dim=-1) for images in found])
    reached = similarity >= torch.as_tensor(goal, device=text.device)
    first = torch.where(reached.any(dim=0), reached.int().argmax(dim=0), similarity.argmax(dim=0))
    return strengths[first.cpu()]
