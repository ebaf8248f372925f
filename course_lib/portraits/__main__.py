"""python -m course_lib.portraits --out DIR: draw the contact sheets and the sweep of every attribute."""
from pathlib import Path

from .. import commands
from .schema import TABLES, VERSION
from .sheets import contact_sheet, sweep_sheet

SHEETS = {64: (8, 16), 128: (5, 8), 256: (3, 4)}        # resolution: rows, columns


def main(arguments=None):
    parser = commands.Parser(prog="python -m course_lib.portraits",
                             description="Draw contact sheets of Portraits and a sweep of every attribute. No file is overwritten.")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the PNG files; made if missing")
    parser.add_argument("--seed", metavar="N", type=commands.seed, default=1, help="which portraits")
    parser.add_argument("--version", choices=TABLES, default=VERSION, help="of the data set")
    args = parser.parse_args(arguments)
    sheets = {f"portraits_{r}px.png": lambda r=r, size=size: contact_sheet(r, *size, args.seed, version=args.version)
              for r, size in SHEETS.items()}
    sheets["portraits_sweep.png"] = lambda: sweep_sheet(64, version=args.version)
    with commands.sentences(parser.prog):
        for name in sheets:
            commands.try_output(args.out / name)
        for name, draw in sheets.items():
            commands.write_image(args.out / name, draw())
            print(args.out / name)


if __name__ == "__main__":
    main()
