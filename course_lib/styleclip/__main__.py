"""Edit pictures with a sentence, and measure what StyleCLIP's global directions need: python -m course_lib.styleclip COMMAND

    python -m course_lib.styleclip edit "a smiling person with red hair and glasses" --seed 3 4 --out edited.png
    python -m course_lib.styleclip edit "a person with glasses" --method optimization --image photo.png --out edited.png
    python -m course_lib.styleclip statistics --generator stylegan2-portraits-64 --clip clip-portraits --out statistics.safetensors
"""
from pathlib import Path

from .. import clip, commands, zoo
from . import edit_command
from .global_directions import channel_statistics


def main(arguments=None):
    args = parser_of().parse_args(arguments)
    if args.command == "edit":
        with commands.sentences("python -m course_lib.styleclip edit", "stopped; no picture is kept, and the same command begins "
                                "anew, but for a generator's channels that it has measured"):
            return edit_command.run(args)
    with commands.sentences("python -m course_lib.styleclip", "stopped; the same command goes on from here"):
        commands.no_mps(args.device, "images are resized for CLIP with antialiasing")
        commands.try_output(args.out)
        G, clip_model = zoo.load(args.generator, device=args.device), clip.load(args.clip, args.device)
        zoo.check_belongs(clip_model, G, "--clip")
        found = channel_statistics(G, clip_model, args.out, images=args.images, step=args.step, seed=args.seed, rgb=args.rgb,
                                   c=args.class_, batch=args.batch, progress=True)
        print(f"{args.out}: {sum(len(c) for c in found.changes if c is not None):,} style channels of {found.info['clip_name']}")


def parser_of():
    parser = commands.Parser(prog="python -m course_lib.styleclip", description=__doc__)
    commands_of = parser.add_subparsers(dest="command", required=True, metavar="edit | statistics", help="see --help of each")
    command = commands_of.add_parser
    text = "edit portraits with a sentence: before | after, at the strength that CLIP and the identity network choose"
    edit_command.options(command("edit", help=text, description=f"{text[0].upper()}{text[1:]}.").add_argument)
    text = "measure how CLIP's embedding changes with each style channel; run it again to go on after a stop"
    add = command("statistics", help=text, description=f"{text[0].upper()}{text[1:]}.").add_argument
    add("--generator", metavar="NAME", default="stylegan2-portraits-64", help="a model of the course, or a file of a generator")
    add("--clip", metavar="NAME", default="clip-portraits", help='a model of the course, a file, or one of open_clip such as '
        '"ViT-B-32/openai"')
    add("--out", metavar="FILE", type=Path, required=True,
        help="the file to write, a .safetensors; one that exists is not overwritten")
    add("--images", metavar="N", type=commands.whole(1), default=100, help="images over which a channel's effect is averaged")
    add("--step", metavar="X", type=commands.number(above=0, most=100), default=5.0,
        help="how far a channel is moved to each side, in its standard deviations")
    add("--rgb", action="store_true", help="measure the channels of toRGB too, which mostly change colours")
    add("--class", metavar="K", dest="class_", type=commands.whole(0), help="of a class-conditional generator only this class, "
        "counted from 0; without it all, drawn uniformly")
    add("--batch", metavar="N", type=commands.whole(1), default=256, help="images per pass; fewer need less memory")
    add("--seed", metavar="N", type=commands.seed, default=0, help="seed of the images")
    add("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    return parser


if __name__ == "__main__":
    main()
