"""python -m course_lib.zoo: what a file of networks holds, the same networks in another format, and model cards."""
import json
import sys
from pathlib import Path

from .. import commands, zoo
from . import model_cards
from .formats import TARGETS, export, guarded, one_line, onnx

MODEL = ("a name of the zoo, a file (.safetensors, .pkl of NVIDIA's PyTorch or TensorFlow code, .pt of rosinality's), the folder "
         "of a run, or one that card wrote")

def main(arguments=None):
    parser = commands.Parser(prog="python -m course_lib.zoo", description=__doc__.partition(": ")[2].capitalize(),
                             epilog="Files are read without importing or running anything that they hold.")
    add = parser.add_subparsers(dest="command", required=True, metavar="info | convert | card",
                                help="see --help of each").add_parser
    info = add("info", help="say what a file holds", description="Say what a file holds.")
    info.add_argument("model", metavar="MODEL", help=MODEL)
    change = add("convert", help="write a file's networks in another format", description="Write the networks "
                 "of one or several files in another format. No existing file is overwritten.")
    change.add_argument("source", metavar="IN", nargs="+", help=f"{MODEL}; of a second one the missing parts are taken")
    change.add_argument("out", metavar="OUT", help="the file to write; of onnx the folder")
    change.add_argument("--to", choices=(*TARGETS, "onnx"), required=True,
                        help="safetensors: one network, for this library. rosinality: a .pt with g_ema, g, d, latent_avg, for "
                        "rosinality's PyTorch code of StyleGAN2. "
                        "tensorflow: the tuple (G, D, Gs) for the official legacy loader. onnx: a generator's graphs, which "
                        "share one weights.safetensors (needs the extra onnx)")
    change.add_argument("--part", choices=("G_ema", "G", "D"), help="the network that goes into the safetensors file "
                        "(if not given G_ema, the generator whose weights were averaged over training, which draws best; G is the "
                        "one that was trained, D the discriminator)")
    change.add_argument("--drop-clamp", action="store_true", help="leave conv_clamp, the limit to which NVIDIA's "
                        "networks clip what convolutions give, out where the format has no place for it")
    card = add("card", help="print a network's model card, or write a folder that holds both", description="Print the model card "
               "of a network as Markdown: what it is, how it came about, what was measured. With --out write a folder to share: "
               "model.safetensors, card.json and README.md, which zoo.load reads by the folder's path.")
    card.add_argument("model", metavar="MODEL", help=MODEL)
    card.add_argument("--part", help='of those that the model has "G", the generator (if not given), "D", the discriminator, or '
                      '"8", …, the generator when it had grown to so many pixels')
    card.add_argument("--out", metavar="FOLDER", help="the folder to write; one that exists is not overwritten")
    card.add_argument("--licence", metavar="TEXT", help="with --out, the licence that you give the network")
    options = parser.parse_args(arguments)
    with commands.sentences(parser.prog):
        try:
            {"info": lambda: describe(options.model), "convert": lambda: convert(options), "card": lambda: show_card(options)}[
                options.command]()
        except (ValueError, OSError) as error:      # which may quote the file
            sys.exit(f"{parser.prog}: {one_line(commands.said(error) if isinstance(error, OSError) else error, 600)}")


def files_of(model):
    """The files of a name of the zoo, or the one of anything else that it reads."""
    return [zoo.path_of(model, part) for part in zoo.cards().get(model, {"files": [None]})["files"]]


def describe(model):
    """Print what the files of a model hold."""
    lines = []
    for path in files_of(model):
        contents = zoo.contents(path)
        lines.append(f"{path.name}: {contents.format}")
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
    lines = [f"  {part}: {kind[:80]}, {model_cards.sizes(tensors) if known else ''}{count:,} numbers in {len(tensors)} tensors"]
    lines += [f"    made anew, for the file lacks it: {what}" for what in made]
    options = {"config": config, "built with": built_with}
    return lines + [f"    {name}: {json.dumps(values)[:1000]}" for name, values in options.items() if values]


def show_card(options):
    """Print a card, or write a folder with it."""
    if options.licence and not options.out:
        raise ValueError("--licence goes into a folder; name it with --out")
    if not options.out:
        return print(model_cards.markdown(model_cards.describe(options.model, options.part), options.model, options.part), end="")
    card = model_cards.write(options.model, options.out, options.part, options.licence)
    print(f"wrote {options.out}: {', '.join(sorted(path.name for path in Path(options.out).iterdir()))}; licence {card['licence']}")


def convert(options):
    """Write the networks of one or several files in another format, and say what was made anew."""
    commands.refuse_idle(("--part", options.part, options.to == "safetensors", "--to safetensors"))
    networks, out = {}, Path(options.out)
    commands.try_folder(out) if options.to == "onnx" else commands.try_output(out)
    for source in options.source:
        for path in files_of(source):
            contents = zoo.contents(path)
            networks = {part: checked(path, contents.read(part)) for part in contents.parts} | networks
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
