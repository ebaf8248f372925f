"""python -m course_lib.styleclip statistics --generator NAME_OR_FILE --clip NAME_OR_FILE --out FILE"""
import argparse
import sys

import torch

from .. import clip, zoo
from .global_directions import channel_statistics


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m course_lib.styleclip")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("statistics", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                  help="measure how CLIP answers to each style channel; run it again to go on after a stop")
    add = command.add_argument
    add("--generator", default="stylegan2-portraits-64", help="a model of the course, or a file of a generator")
    add("--clip", default="clip-portraits", help='a model of the course, a file, or one of open_clip such as "ViT-B-32/openai"')
    add("--out", required=True, help="the file to write, a .safetensors")
    add("--images", type=int, default=100, help="images over which a channel's effect is averaged")
    add("--step", type=float, default=5.0, help="how far a channel is moved to each side, in its standard deviations")
    add("--rgb", action="store_true", help="measure the channels of toRGB too, which mostly change colours")
    add("--batch", type=int, default=256, help="images per pass; fewer need less memory")
    add("--seed", type=int, default=0, help="seed of the images")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")
    args = parser.parse_args(arguments)
    try:
        found = channel_statistics(zoo.load(args.generator, device=args.device), clip.load(args.clip, args.device), args.out,
                                   args.images, args.step, args.seed, args.rgb, batch=args.batch, progress=True)
    except (ValueError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"\n{parser.prog}: stopped; the same command goes on from here")
    print(f"{args.out}: {sum(len(c) for c in found.changes if c is not None):,} style channels of {found.info['clip_name']}")


if __name__ == "__main__":
    main()
