"""Results: what the course has measured and stored in `data/results`, for which models it is valid, and how results are written.

A lesson lets you choose another generator or CLIP. The course's numbers, pictures, judge and identity network say nothing about
it, so they are left out then, with a sentence.
"""
import json

import torch

from . import portraits, zoo

MEASURED_WITH = ("stylegan2-portraits-64", "clip-portraits")           # where a result names no other model
RENAMED = {"share": "top_fraction", "rest_weight": "preserve_weight"}  # settings of the scoreboard, as older results call them


def belong_to(*models) -> bool:
    """Whether stored results, which were measured with MEASURED_WITH, are valid for these models (names or files); if not, print
    so."""
    others = [str(model) for model in models if str(model) not in MEASURED_WITH]
    if others:
        print(f"Left out: this was measured with the course's own models ({', '.join(MEASURED_WITH)}), and says nothing about "
              f"{' and '.join(others)}.")
    return not others


def load(name):
    """The stored result `name`, such as a generator's report by the generator's name, with settings under their present
    names; None, after a sentence, if there is none."""
    file = zoo.DATA / "results" / f"{name}.json"
    if not file.is_file():
        print(f"Left out: {zoo.no_models() or f'the course has no results for {name}'}.")
        return None
    return json.loads(file.read_text(), object_hook=lambda found: {RENAMED.get(key, key): value for key, value in found.items()})


def examiner(name, model):
    """The judge or the identity network, by name, for the images of a generator `model` (a name or file); None, after a sentence,
    for a generator that was not trained on Portraits, for these networks know nothing else."""
    if zoo.dataset_of(model) == "portraits":
        return zoo.load(name)
    print(f"Left out: {name} knows the course's portraits alone, and {model} was not trained on them.")
    return None


def header(command, seeds):
    """What every stored result begins with: the command that made it, the version of Portraits, and the seeds of what was drawn."""
    return {"command": command, zoo.DATASET_VERSION: portraits.VERSION, "seeds": seeds}


def rounded(value):
    """A result (dicts, lists, numbers, text) with every float rounded to five significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def machine(device):
    """The name of a device, as results give it beside seconds: of the GPU, or how many CPU threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"{torch.get_num_threads()} CPU threads"
