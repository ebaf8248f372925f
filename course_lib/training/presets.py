"""Named settings of training: the options of course_lib.train that a preset stands for, as they would be typed.

What is typed beside `--preset` comes later on the command line, and so overrides it.
"""
PORTRAITS = "--resolution 64 --mixing 0 --lr 0.005 --r1-gamma 0.5 --r1-gamma-end 0.05 --lr-anneal 0.65 --ema-kimg 20 --images 6200k"
PAPER = "--channel-max 512 --z-dim 512 --w-dim 512"
MAPPER = "--steps 2400 --batch 16 --l2 0.01 --id-weight 0.5 --top-fraction 0.025 --psi 0.7"

PRESETS = {
    "stylegan2": {
        "portraits-64": PORTRAITS,                                          # the first run of the shipped model
        "portraits-64-nopl": f"{PORTRAITS} --pl-weight 0",                  # the same without path-length regularization
        "paper-256": f"--resolution 256 --channel-base 16384 {PAPER} --images 25m",
        "config-f-1024": f"--resolution 1024 --channel-base 32768 {PAPER} --batch 32 --batch-gpu 8 --images 25m"},
    "stylegan": {
        "portraits-64": "--resolution 64 --r1-gamma 1 --lr 4:0.003 --stable 160k --fade 120k --images 2200k --checkpoint-every 80k",
        "paper-1024": f"--resolution 1024 --channel-base 16384 {PAPER}"},
    "pggan": {
        "portraits-64": "--resolution 64 --channel-max 128 --z-dim 128 --stable 240k --fade 160k --images 2240000 "
                        "--checkpoint-every 80k",
        "paper-1024": "--resolution 1024 --channel-base 16384 --channel-max 512 --z-dim 512"},
    "mapper": {
        "portraits-64": f"{MAPPER} --identity-threshold 0.7 --preserve-weight 0.05",
        "portraits-64-strict": f"{MAPPER} --identity-threshold 0.8 --preserve-weight 0.1"}}     # of beard and red hair
