"""Colours, chosen together: warm ramps with shadows that shift in hue, muted backgrounds, and accents to match."""

import torch


def _hex(*codes):
    return torch.tensor([[int(code[i:i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes])


# Six skins from light to deep: base, shadow, light, blush, lips.
SKIN = torch.stack([
    _hex("fbd9c0", "f2c19c", "dfa477", "b97d53", "875438", "5e3a2a"),
    _hex("dc9f8e", "cd8a6c", "b16e4f", "834e3a", "56302a", "371e1d"),
    _hex("fff1dc", "ffdfbd", "f8c796", "dfa572", "b37b52", "8a5c43"),
    _hex("f48f83", "ee8468", "d6714f", "b05a3e", "85402f", "6b3028"),
    _hex("d9757a", "cf6a66", "bb5c52", "944640", "713439", "572a33"),
], dim=1)  # Shape [6, 5, 3]

# Dark, base, light for each hair colour.
HAIR = torch.stack([
    _hex("120f18", "3c2115", "75200c", "b07a2a", "666a78", "a23a6b", "22397f"),
    _hex("262230", "673d24", "bc4a1c", "ebbf5c", "a9adb8", "ee7fa8", "4270c4"),
    _hex("5d5872", "b07848", "f79350", "fff0b4", "e9ecf2", "ffcad9", "8fbef5"),
], dim=1)

IRIS = torch.stack([_hex("3a1d10", "1d4a86", "20603a"), _hex("8a4d24", "4f9be6", "5fb862")], dim=1)

# Base, shadow, accent (hats, ribs) for each clothing colour.
CLOTHING = torch.stack([
    _hex("d1453b", "e2a42e", "5f9a4a", "2e9c98", "2f4a86", "7f4fa3", "f0ece4", "4a4c56"),
    _hex("8e2437", "b06a1c", "35653d", "1b6572", "1c2858", "4e2c74", "b9b1bb", "2a2a36"),
    _hex("f0c9a0", "5b4a6b", "f0dfa8", "f6c177", "e8b04a", "f2b8c6", "5d7fa8", "d98a5a"),
], dim=1)

# The same for clothes and hats of version 2.
CLOTHING_2 = torch.stack([
    _hex("d1453b", "e8b23a", "5f9a4a", "2e9c98", "34599c", "7f4fa3", "ee86a8", "f0ece4", "34353d"),
    _hex("8e2437", "b57420", "35653d", "1b6572", "1e316a", "4e2c74", "b84d78", "b9b1bb", "17171f"),
    _hex("f0c9a0", "5b4a6b", "f0dfa8", "f6c177", "e8b04a", "f2b8c6", "7a3d6a", "5d7fa8", "d98a5a"),
], dim=1)

# Centre glow and edge for each background.
BACKGROUND = torch.stack([
    _hex("fbf1dc", "fcd0a8", "f4b8bf", "d5c6ee", "bfe0f5", "c3ead2", "76849c"),
    _hex("e0cba6", "ea9a6c", "d67f92", "9f8acb", "7db3dc", "7fc3a2", "3c475f"),
], dim=1)

# Colours that nobody's attributes change, and the weights of brightness.
FIXED = {
    "sclera": (0.985, 0.975, 0.965), "ink": (0.06, 0.045, 0.06), "teeth": (0.98, 0.96, 0.93),
    "rouge": (0.80, 0.20, 0.27), "throat": (0.26, 0.07, 0.10), "tongue": (0.80, 0.33, 0.36),
    "tortoise": (0.13, 0.09, 0.11), "brass": (0.93, 0.74, 0.36), "gold": (0.96, 0.76, 0.30),
    "bronze": (0.62, 0.38, 0.10), "luma": (0.2126, 0.7152, 0.0722),
    "tinted": (0.26, 0.20, 0.22), "paper_red": (0.90, 0.33, 0.33), "paper_gold": (0.97, 0.76, 0.30),
    "paper_blue": (0.32, 0.52, 0.80), "paper_white": (0.99, 0.98, 0.95),
}


def ramp(table, t):
    """Linear interpolation in the first axis of table [k, m, 3] at t [n] in [0, 1]: m colours [n, 3, 1, 1]."""
    k = len(table) - 1
    weights = (1 - (t[:, None] * k - torch.arange(k + 1)).abs()).clamp(min=0)
    return pick(torch.einsum("nk,kmc->nmc", weights, table), None)


def pick(table, classes):
    """Rows of table [k, m, 3] at classes [n]: m colours [n, 3, 1, 1]."""
    rows = table if classes is None else table[classes]
    return [color[:, :, None, None] for color in rows.unbind(1)]
