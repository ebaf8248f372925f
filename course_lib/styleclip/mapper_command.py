"""Training of a latent mapper as a command: its networks by name, its weights and losses in files."""
import time

from .. import clip as clips
from .. import commands, results, zoo
from ..networks.identity import IdentityNetwork
from ..training import outputs
from .common import check_networks
from .mapper import file_name, fit
from .selection import embed_samples, similarity_target


def train(out, prompt, generator, clip, identity, steps, id_weight, top_fraction=None, seed=0, device="cpu", command="", **options):
    """Fit a LatentMapper to a prompt; write `out/mapper-<prompt>.safetensors`, and its losses to `out/results/`, which are
    returned.

    generator, clip, identity: names or files of networks; an identity of "none", like an id_weight of 0, leaves that loss out.
    top_fraction: an edit is asked for no more similarity than this fraction of the generator's images reach (`similarity_target`);
    None asks for ever more, as the paper does. command: stored in the result. options: further ones of `fit`.
    Raises OSError for files that exist and ValueError for networks that do not fit together, both before the work begins.
    """
    name = file_name(prompt)
    file, result_file = outputs.output_files(out, name, name)
    G, clip_network = zoo.load(generator, device=device), clips.load(clip, device)
    identity_network = zoo.load(identity, device=device) if id_weight and identity != "none" else None
    check_networks(G, clip_network, identity_network)
    if not isinstance(identity_network, IdentityNetwork | None):
        raise ValueError(f"--identity {identity} is no identity network; name one such as identity-portraits-64")
    for option, network in (("--clip", clip_network), ("--identity", identity_network)):
        if network is not None:
            zoo.check_belongs(network, G, option)
    clip_network.encode_texts([prompt])                 # what it does not know is said before the work begins
    target = None
    if top_fraction is not None:
        target = similarity_target(clip_network, embed_samples(G, clip_network, progress=True), prompt, top_fraction=top_fraction)
    began = time.perf_counter()
    with commands.noted_stops() as stops:
        mapper, losses = fit(G, clip_network, prompt, progress=True, stop=lambda: bool(stops), similarity_target=target,
                             identity=identity_network, steps=steps, id_weight=id_weight, seed=seed, **options)
    about, done = {"prompt": prompt, "generator": mapper.generator}, len(losses["total"])
    outputs.save_trained(file, outputs.Trained(mapper, done, steps, stops if done < steps else []), "mapper", config=about)
    result = {**results.header(command, [seed]), **about, "levels": mapper.levels,
              "seconds": round(time.perf_counter() - began, 1), "device": results.machine(device),
              "losses": {key: value[-min(100, steps):].mean().item() for key, value in losses.items()}}
    commands.write_json(result_file, result)
    print(f"{file}: levels {', '.join(mapper.levels)}; D_CLIP {losses['clip'][0]:.3f} at first, "
          f"{result['losses']['clip']:.3f} at last")
    return result
