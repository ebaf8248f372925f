"""Named settings of training, which `--preset` of course_lib.train takes; what is typed beside it overrides them."""
PORTRAITS = dict(resolution=64, images=6_200_000, mixing=0.0, lr=0.005, lr_anneal=0.65, r1_gamma=0.5, r1_gamma_end=0.05,
                 ema_kimg=20.0)
PAPER = dict(channel_max=512, z_dim=512)
MAPPER = dict(steps=2400, batch=16, l2=0.01, id_weight=0.5, top_fraction=0.025, psi=0.7)

PRESETS = {
    "stylegan2": {
        "portraits-64": PORTRAITS,                                          # the first run of the shipped model
        "portraits-64-nopl": PORTRAITS | dict(pl_weight=0.0),               # the same without path-length regularization
        "few-pictures-64": dict(resolution=64, init="stylegan2-portraits-64", batch=16, lr=0.003, pl_weight=0.0,
                                images=4000),                               # minutes on two cores, from the shipped model
        "paper-256": dict(resolution=256, channel_base=16384, **PAPER, w_dim=512, images=25_000_000),
        "config-f-1024": dict(resolution=1024, channel_base=32768, **PAPER, w_dim=512, images=25_000_000, batch=32, batch_gpu=8)},
    "stylegan": {
        "portraits-64": dict(resolution=64, r1_gamma=1.0, lr=[[4, 0.003]], stable=160_000, fade=120_000, images=2_200_000,
                             checkpoint_every=80_000),
        "paper-1024": dict(resolution=1024, channel_base=16384, **PAPER, w_dim=512)},
    "pggan": {
        "portraits-64": dict(resolution=64, channel_max=128, z_dim=128, stable=240_000, fade=160_000, images=2_240_000,
                             checkpoint_every=80_000),
        "paper-1024": dict(resolution=1024, channel_base=16384, **PAPER)},
    "mapper": {
        "portraits-64": dict(**MAPPER, identity_threshold=0.7, preserve_weight=0.05),
        "portraits-64-strict": dict(**MAPPER, identity_threshold=0.8, preserve_weight=0.1)}}     # of beard and red hair


def shown(preset):
    """The options that a preset stands for, as they would be typed."""
    return " ".join(f"--{name.replace('_', '-')} {_shown(value)}" for name, value in preset.items())


def _shown(value):
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(f"{resolution}:{of_it:g}" for resolution, of_it in value)
    return f"{value // 1000}k" if isinstance(value, int) and value >= 10_000 and value % 1000 == 0 else f"{value:g}"
