"""Reads tests/golden (its README.md gives the rules) and rebuilds the weights that it only describes."""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parent / "golden"
AVX2 = "AVX2" in torch.backends.cpu.get_cpu_capability() or "AVX512" in torch.backends.cpu.get_cpu_capability()


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text()), load_file(FOLDER / f"{name}.safetensors")


def filled(entries, seed):
    """The fill rule: one generator, tensors in the listed order; filters are dropped, for they are not parameters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for entry in entries:
        if entry.get("kept"):
            continue
        draw = torch.randn(entry["shape"], generator=generator)
        state[entry["name"]] = entry["offset"] + entry["scale"] * draw
        total = state[entry["name"]].double().sum().item()
        assert abs(total - entry["sum"]) <= 1e-4 * max(1, abs(entry["scale"]) * draw.numel() ** 0.5), entry["name"]
    return state


def rule_input(rule):
    generator = torch.Generator().manual_seed(rule["seed"])
    n, c, h, w = rule["shape"]
    if rule["rule"] == "randn":
        return torch.randn(rule["shape"], generator=generator)
    low = torch.randn(n, c, 4, 4, generator=generator)
    fine = torch.randn(n, c, h, w, generator=generator)
    low = low.repeat_interleave(h // 4, 2).repeat_interleave(w // 4, 3)
    return (0.5 + 0.25 * torch.arange(n)).view(-1, 1, 1, 1) * low + 0.25 * fine


def assert_golden(mine, stored, tolerance, absolute=0.0, what=""):
    """max|mine − stored| ≤ tolerance · max|stored| (five times that without AVX2, as the README allows)."""
    assert mine.shape == stored.shape, (what, mine.shape, stored.shape)
    assert torch.isfinite(mine).all(), what
    tolerance = tolerance if AVX2 else 5 * tolerance
    error = (mine.detach().double() - stored.double()).abs().max().item()
    assert error <= tolerance * stored.abs().max().item() + absolute, (what, error, stored.abs().max().item())
