"""Publish files that training or measuring wrote as models of the course, each under its own name.

    python experiments/publish_file.py runs/clip/clip-portraits.safetensors runs/mappers/mapper-*.safetensors

Copies NAME.safetensors to data/, and what lies in results/ beside it to data/results/; writes the cards in models.json and prints
the lines for data/README.md. Networks are made by python -m course_lib.train, statistics by python -m course_lib.styleclip.
"""
import hashlib
import json
import shutil
from pathlib import Path

import publish
from course_lib import commands, portraits, zoo


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("files", nargs="+", type=commands.input_file, help="networks or statistics, .safetensors")
    parser.add_argument("--data", type=Path, default=zoo.DATA, help="folder for the files")
    parser.add_argument("--command", help="the command that made them, where no result in results/ says so")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/publish_file.py"):
        publish_files(args)


def publish_files(args):
    for source in args.files:
        metadata = zoo.read(source)[1]
        version = metadata.get(zoo.DATASET_VERSION)
        if version != portraits.VERSION:
            raise ValueError(f"{source} belongs to version {version} of Portraits; this is version {portraits.VERSION}")
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
        card = {"kind": metadata["kind"], zoo.DATASET_VERSION: version, "command": command}
        card |= {"images": about["images"]} if "images" in about else {}
        card |= {"files": {"weights": {"file": source.name, "sha256": sha256}}}
        publish.add_card(args.data / "models.json", source.stem, card)
        images = f"{about['images']:,}" if "images" in about else ""
        size = source.stat().st_size / 1e6
        print(f"| `{source.stem}` | {metadata['kind']} | {size:.1f} | {images} | `{sha256[:12]}` |\n{command}")


if __name__ == "__main__":
    main()
