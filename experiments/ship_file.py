"""Put files that training or measuring wrote where the course finds them, each as a model of its own name.

    python experiments/ship_file.py runs/clip/clip-portraits.safetensors runs/mappers/mapper-*.safetensors

Copies NAME.safetensors to data/, and what lies in results/ beside it to data/results/; writes the cards in models.json and prints
the lines for data/README.md. Networks are made by python -m course_lib.train, statistics by python -m course_lib.styleclip.
"""
import hashlib
import json
import shutil
from pathlib import Path

import ship

from course_lib import commands, portraits, zoo


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("files", nargs="+", type=commands.input_file, help="networks or statistics, .safetensors")
    parser.add_argument("--data", type=Path, default=zoo.DATA, help="folder for the files")
    parser.add_argument("--command", help="the command that made them, where no result in results/ says so")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/ship_file.py"):
        ship_files(args)


def ship_files(args):
    for source in args.files:
        metadata = zoo.read(source)[1]
        if metadata.get("world") != portraits.VERSION:
            raise ValueError(f"{source} was made in world {metadata.get('world')}; this is world {portraits.VERSION}")
        result = source.parent / "results" / f"{source.stem if metadata['kind'] == 'mapper' else metadata['kind']}.json"
        about = json.loads(result.read_text()) if result.exists() else {}
        command = about.get("command") or args.command
        if not command:
            raise ValueError(f"{result} does not exist, so that the command of {source.name} is unknown; pass it as --command")
        for path, copy in ((result, args.data / "results" / result.name), (source, args.data / source.name)):
            if path.exists():
                with commands.writing(copy, replace=True) as partial:
                    shutil.copyfile(path, partial)
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        card = {"kind": metadata["kind"], "world": portraits.VERSION, "command": command} | {
            key: about[key] for key in ("images",) if key in about} | {"files": {"weights": {"file": source.name, "sha256": sha256}}}
        ship.add_card(args.data / "models.json", source.stem, card)
        images = f"{about['images']:,}" if "images" in about else ""
        print(f"| `{source.stem}` | `{source.name}` | `{command}` | {images} | `{sha256[:12]}…` |")


if __name__ == "__main__":
    main()
