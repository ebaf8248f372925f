"""python -m course_lib.zoo: what a file of networks holds, and the same networks in another format."""
import json
import sys
from pathlib import Path

from .. import commands, zoo
from .formats import TARGETS, export, guarded, one_line, onnx


def main(arguments=None):
    parser = commands.Parser(prog="python -m course_lib.zoo", description=__doc__.partition(": ")[2].capitalize(),
                             epilog="Files are read without importing or running anything that they hold.")
    add = parser.add_subparsers(dest="command", required=True, metavar="info | convert", help="see --help of each").add_parser
    info = add("info", help="say what a file holds", description="Say what a file holds.")
    info.add_argument("file", metavar="FILE", help=".pkl of NVIDIA (PyTorch or TensorFlow), .pt of rosinality, or .safetensors")
    change = add("convert", help="write a file's networks in another format", description="Write the networks "
                 "of one or several files in another format. No existing file is overwritten.")
    change.add_argument("source", metavar="IN", nargs="+", help="files to read; of a second one the missing parts are taken")
    change.add_argument("out", metavar="OUT", help="the file to write; of onnx the folder")
    change.add_argument("--to", choices=(*TARGETS, "onnx"), required=True,
                        help="safetensors: one network, for this library. rosinality: a .pt with g_ema, g, d, latent_avg. "
                        "tensorflow: the tuple (G, D, Gs) for the official legacy loader. onnx: a generator's graphs, which "
                        "share one weights.safetensors (needs the extra onnx)")
    change.add_argument("--part", choices=("G_ema", "G", "D"), help="the network that goes into the safetensors file "
                        "(the averaged generator if not given)")
    change.add_argument("--drop-clamp", action="store_true", help="leave conv_clamp out where the format has no place for it")
    options = parser.parse_args(arguments)
    with commands.sentences(parser.prog):
        try:
            describe(options.file) if options.command == "info" else convert(options)
        except (ValueError, OSError) as error:      # which may quote the file
            sys.exit(f"error: {one_line(commands.said(error) if isinstance(error, OSError) else error, 600)}")


def describe(path):
    """Print what a file holds."""
    contents = zoo.contents(path)
    lines = [f"{Path(path).name}: {contents.format}"]
    for part in contents.parts:
        lines += summary(path, part, contents.read(part))
    print("\n".join(one_line(line, 1100) for line in lines))


@guarded
def checked(path, network):
    """The network (`formats.Network`), once it is known that it can be built. Raises ValueError, with the name of the file at
    `path`, if it cannot."""
    zoo.check(*network[:3])
    return network


def summary(path, part, network):
    """The lines of `info` about one network. Raises ValueError for a generator or discriminator whose tensors do not fit
    together."""
    known = network[0] in zoo.GANS
    kind, tensors, config, built_with, made = checked(path, network) if known else network
    count = sum(t.numel() for t in tensors.values())
    lines = [f"  {part}: {kind[:80]}, {sizes(tensors) if known else ''}{count:,} numbers in {len(tensors)} tensors"]
    lines += [f"    made anew, for the file lacks it: {what}" for what in made]
    options = {"config": config, "built with": built_with}
    return lines + [f"    {name}: {json.dumps(values)[:1000]}" for name, values in options.items() if values]


def sizes(tensors):
    """Resolution, sizes of z and w, and number of classes of a StyleGAN or PGGAN network, by its tensors, as text."""
    blocks = [int(part[1:]) for name in tensors for part in name.split(".") if part[:1] == "b" and part[1:].isdecimal()]
    text = f"{max(blocks)} px, " if blocks else ""
    embed, first, average = (tensors.get(f"mapping.{name}") for name in ("embed.weight", "fc0.weight", "w_avg"))
    if average is not None and first is not None:
        text += f"z {first.shape[1] - (0 if embed is None else len(average))}, w {len(average)}, "
    return text + (f"{embed.shape[1]} classes, " if embed is not None else "")


def convert(options):
    """Write the networks of one or several files in another format, and say what was made anew."""
    networks, out = {}, Path(options.out)
    commands.try_folder(out) if options.to == "onnx" else commands.try_output(out)
    for source in options.source:
        contents = zoo.contents(source)
        networks = {part: checked(source, contents.read(part)) for part in contents.parts} | networks
    for part, network in networks.items():
        for what in network.made:
            print(f"{part}: the file lacks {what}: made anew", file=sys.stderr)
    if "G_ema" not in networks and "G" in networks:
        networks["G_ema"] = networks.pop("G")
    if options.to == "onnx":
        return write_graphs(out, networks, options.source)
    if options.to != "safetensors":
        export(out, networks, options.to, options.drop_clamp)
    else:
        part = options.part or next(part for part in ("G_ema", "D") if part in networks)
        if part not in networks:
            raise ValueError(f"there is no {part} in {', '.join(options.source)}; there is {', '.join(networks)}")
        kind, tensors, config = networks[part][:3]
        zoo.save(out, tensors, kind, config=config)
    print(f"wrote {out} ({out.stat().st_size:,} bytes)")


def write_graphs(out, networks, sources):
    """Write the graphs of the generator among the networks, and say how far each is from PyTorch."""
    kind, tensors, config = networks.get("G_ema", (None, {}, {}))[:3]
    if kind not in zoo.GANS:
        raise ValueError(f"there is no generator in {', '.join(sources)}, and only generators are written as graphs")
    network = zoo.BUILDERS[kind](tensors, **config).requires_grad_(False)
    for name, difference in onnx.write(out, network, kind, config).items():
        print(f"wrote {out / name}, at most {difference:.1e} from PyTorch")


if __name__ == "__main__":
    main()
