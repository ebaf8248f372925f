"""Mutated and crafted files, described, converted and loaded in one process under limits:

python tests/fuzz_formats.py --files 2400 --out data/results/fuzz_formats.json

Prints one line of JSON. A file may be read or refused with one line; anything else is unexpected: another exception, a
process or a program started, an unpickler at work, a control character printed, a damaged file written, a network bigger
than its file, a file that takes seconds.
"""
import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import safetensors.torch as safetensors_torch
import torch

import official_files as files
from course_lib import zoo
from course_lib.networks import stylegan2
from course_lib.zoo import __main__, formats

FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "subprocess.Popen", "exec",
             "import", "socket.connect", "shutil.rmtree", "ctypes.dlopen", "urllib.Request"}
CALLS = ["os system", "posix system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__",
         "subprocess Popen", "subprocess check_output", "builtins bytearray", "builtins bytes", "builtins open", "torch load",
         "torch.hub load", "numpy load", "pickle loads", "pickle _loads", "functools partial", "operator attrgetter",
         "importlib import_module", "runpy run_path", "torch Tensor", "torch zeros", "numpy zeros", "copyreg _reconstructor",
         "types FunctionType", "webbrowser open", "dnnlib.util open_url", "torch_utils.persistence import_hook",
         "numpy.core.multiarray fromfile", "torch.storage _load_from_bytes.x", "collections OrderedDict.__init__",
         "collections namedtuple", "torch._utils _rebuild_tensor", "site main", "timeit timeit"]


def text(value):
    size = b"\x8c" + bytes([len(value)]) if len(value) < 256 else b"X" + struct.pack("<I", len(value))
    return size + value.encode()


def name(full):
    module, _, attribute = full.partition(" ")
    return text(module) + text(attribute) + b"\x93"


def call(full, *arguments):
    """Opcodes that call a function with arguments that are opcodes too."""
    return name(full) + b"(" + b"".join(arguments) + b"tR"


def entry(key, value):
    return b"}" + text(key) + value + b"s"


def module(state, kind="Generator", source=files.SOURCE):
    meta = b"}(" + b"".join(text(key) + value for key, value in [
        ("type", text("class")), ("version", b"K\x06"), ("module_src", text(source)), ("class_name", text(kind)),
        ("state", state)]) + b"u"
    return call(formats.nvidia_pytorch.MODULE, meta)


def wrapped(rng, value):
    """A value somewhere in a file: alone, in a snapshot, as a state, a weight, a name, a variable."""
    network = name("dnnlib.tflib.network Network") + b")\x81"
    return b"\x80\x04" + rng.choice([
        value, weight(value), weight(value),
        entry("G_ema", value), entry("G_ema", module(value)), entry("G", module(entry("_parameters", entry("w", value)))),
        entry("G_ema", module(entry("_modules", entry("synthesis", value)))), b"}" + value + b"Ns", b"(" + value * 3 + b"t",
        network + value + b"b", network + entry("variables", b"](" + text("x") + value + b"\x86e") + b"b", value + b"}b"]) + b"."


def weight(value):
    """A snapshot in which the value stands where a tensor is expected."""
    synthesis = module(entry("_modules", entry("b4", module(b"}"))), "SynthesisNetwork")
    parts = text("_parameters") + entry("w", value) + text("_modules") + entry("synthesis", synthesis)
    return entry("G_ema", module(b"}(" + parts + b"u"))


def deep(n=300_000):
    """A tuple in a tuple in a tuple, …"""
    return b")" + b"\x85" * n


def laughs(n=45):
    """A tuple of pairs, each of the one before it, twice: 2ⁿ visits for one who looks at every element."""
    return b"()q\x00" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(n)) + b"t"


def tensor(data, size, stride, offset=b"K\x00"):
    numbers = [b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in values) + b"t" for values in (size, stride)]
    storage = call("torch.storage _load_from_bytes", b"B" + struct.pack("<I", len(data)) + data)
    return call("torch._utils _rebuild_tensor_v2", storage, offset, *numbers, b"\x89", name("collections OrderedDict") + b")R")


def stream(count=4, kind="FloatStorage", declared=None):
    out = io.BytesIO()
    torch.save(torch.storage.TypedStorage(wrap_storage=torch.zeros(count).untyped_storage(), dtype=torch.float32, _internal=True),
               out, _use_new_zipfile_serialization=False)
    data = out.getvalue().replace(b"FloatStorage", kind.encode())
    return data if declared is None else data[:-8 - 4 * count] + struct.pack("<q", declared) + data[-4 * count:]


def array(shape, code="f4", data=b"\0" * 16):
    code = code if type(code) is bytes else text(code)
    kind = call("numpy dtype", code, b"\x89", b"\x88") + b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    size = b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in shape) + b"t"
    return (call("numpy.core.multiarray _reconstruct", name("numpy ndarray"), b"K\x00\x85", b"C\x01b")
            + b"(K\x01" + size + kind + b"\x89C" + bytes([len(data)]) + data + b"tb")


def crafted(rng, canary):
    """One hostile file, of a kind that `rng` chooses."""
    big = rng.choice([2 ** 31 - 1, 2 ** 33, 2 ** 40, 2 ** 62])
    command, many = text(f"touch {canary}"), rng.choice([1000, 30_000, 300_000])
    lists = b"]\x94" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(60))
    twins = module(b"}\x94", "FullyConnectedLayer") + b"\x94" + b"".join(
        module(entry("_modules", b"}(" + text("a") + b"j" + struct.pack("<I", i) + text("b") + b"j" + struct.pack("<I", i) + b"u"))
        + b"q" + bytes([i + 1]) for i in range(100, 140)).replace(b"j" + struct.pack("<I", 100), b"h\x01")
    kinds = [
        lambda: wrapped(rng, call(rng.choice(CALLS), rng.choice([command, b"J\x00\xca\x9a\x3b", b"}", text("os")]))),
        lambda: b"\x80\x02c" + rng.choice(CALLS).replace(" ", "\n").encode() + b"\n(" + command + b"tR.",
        lambda: wrapped(rng, b"(" + command + b"ios\nsystem\n"), lambda: wrapped(rng, b"(cos\nsystem\n" + command + b"o"),
        lambda: wrapped(rng,
                        rng.choice([b"\x82\x01", b"\x83\x01\x00", b"P1\n", b"K\x01Q", b"\x97", b"I1\n", b"S'a'\n", b"2", b"0"])),
        lambda: b"\x80\x04\x95" + struct.pack("<Q", big) + b"N.",
        lambda: b"\x80\x04\x8e" + struct.pack("<Q", big) + b"x" * 100 + b".",
        lambda: b"\x80\x05\x96" + struct.pack("<Q", big) + b".", lambda: b"\x80\x04\x8d" + struct.pack("<Q", big) + b".",
        lambda: b"\x80\x04\x8b" + struct.pack("<i", 2 ** 31 - 1) + b".", lambda: b"\x80\x02Nr\xff\xff\xff\xff.",
        lambda: b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", rng.getrandbits(32)) for _ in range(many)) + b".",
        lambda: b"\x80\x04" + b"]" * many + b"a" * (many - 1) + b".", lambda: b"\x80\x04N" + b"\x85" * many + b".",
        lambda: b"\x80\x04" + b"(" * many + b"." + b"t" * many, lambda: b"\x80\x04" + b"}" * (10 * many) + b".",
        lambda: b"\x80\x04" + name("torch._utils _rebuild_parameter") * (many // 4) + b"N" + b"\x85R" * (many // 4) + b".",
        lambda: b"\x80\x04}("
        + b"".join(b"\x8a\x10" + (i * (2 ** 61 - 1)).to_bytes(16, "little") + b"N" for i in range(min(many, 90_000))) + b"u.",
        lambda: b"\x80\x04"
        + module(b"}(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(min(many, 90_000))) + b"u\x94") + b".",
        lambda: b"\x80\x04" + module(entry("_init_kwargs", lists)) + b".",
        lambda: b"\x80\x04N" + (name("numpy dtype") + b"N\x85R") * many + b".",
        lambda: wrapped(rng, b"]\x94h\x00a"), lambda: wrapped(rng, b"}\x94" + text("a") + b"h\x00s"),
        lambda: wrapped(rng, b"]\x94h\x00\x85a"), lambda: wrapped(rng, lists),
        lambda: b"\x80\x04" + weight(array([1], deep(many), b"\0" * 4)) + b".",
        lambda: b"\x80\x04" + weight(array([1], laughs(), b"\0" * 4)) + b".",
        lambda: wrapped(rng, array([1], rng.choice([deep(), laughs()]))),
        lambda: b"\x80\x04" + long_names(min(many, 30_000)) + b".",
        lambda: crowded(many), lambda: layers(min(many, 9000)), lambda: safetensors(rng), lambda: safetensors(rng),
        lambda: b"\x80\x04}\x94" + entry("x", text("G_ema")) + module(b"h\x00") + text("_modules") + b"h\x00s.",
        lambda: b"\x80\x04" + twins + entry("G_ema", b"h\x8b") + b".",
        lambda: wrapped(rng, b"}\x94" + text("_modules") + b"}" + text("a") + module(b"h\x00") + b"ss"),
        lambda: wrapped(rng, tensor(stream(), [big], [0])), lambda: wrapped(rng, tensor(stream(), [4], [big])),
        lambda: wrapped(rng, tensor(stream(), [-4], [1])), lambda: wrapped(rng, tensor(stream(), [2 ** 20] * 3, [0] * 3)),
        lambda: wrapped(rng, tensor(stream(declared=rng.choice([big, -1, 0, 3])), [4], [1])),
        lambda: wrapped(rng, tensor(stream(kind=rng.choice(["LongStorage", "DoubleStorage", "UntypedStorage", "load"])), [4], [1])),
        lambda: wrapped(rng, tensor(pickle.dumps(Bomb(canary), 2) * 5, [4], [1])),
        lambda: wrapped(rng, array([big])), lambda: wrapped(rng, array([4, 0, big])),
        lambda: wrapped(rng, array([4], rng.choice(["O", "O8", "V4", "f16", "U1", "c8"]))),
        lambda: wrapped(rng, array([4] * 40)), lambda: wrapped(rng, array([-1, -4])),
        lambda: rng.choice(nothing(many)), lambda: shared(many),
        lambda: bytes(rng.getrandbits(8) for _ in range(rng.choice([0, 1, 9, 100]))),
        lambda: b"\x80" + bytes([rng.randrange(256)]) + rng.randbytes(rng.randrange(400)),
        lambda: b"PK\3\4" + rng.randbytes(200), lambda: zipped(rng, canary), lambda: widths(rng)]
    return rng.choice(kinds)()


class Bomb:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def nothing(many):
    """Networks, or modules, of thousands of parts that are made of thousands of parts, all empty."""
    levels, network = [], name("dnnlib.tflib.network Network") + b")\x81"
    for level in range(3):
        inner = b"N" if level == 0 else b"h%c" % (level - 1)
        items = b"(" + b"".join(b"\x8c\x05%05d" % i + inner for i in range(min(many, 50_000))) + b"u"
        parts = b"}" if level == 0 else b"}" + items
        fields = text("variables") + b"]" + text("static_kwargs") + b"}" + text("components") + parts
        levels.append((network + b"}(" + fields + b"ub\x94", module(entry("_modules", b"}" + items)) + b"\x94"))
    return [b"\x80\x04" + b"".join(part) + b"." for part in zip(*levels)]


def shared(many):
    """Thousands of tensors on one storage of a megabyte: far more than the file."""
    one = tensor(stream(2 ** 18), [2 ** 18], [1])
    items = b"(" + text("v0") + one + b"\x94" + b"".join(text(f"v{i}") + b"h\x00" for i in range(1, min(many, 30_000))) + b"u"
    return b"\x80\x04" + entry("G_ema", module(entry("_modules", entry("synthesis", module(
        b"}(" + text("_modules") + entry("b4", module(b"}")) + text("_parameters") + b"}" + items + b"u"))))) + b"."


def zipped(rng, canary):
    """A .pt file with a hostile pickle, a compressed entry of many zeros, or a wrong count."""
    out = io.BytesIO()
    bomb = rng.choice([pickle.dumps(Bomb(canary), 2), pickle.dumps({"g_ema": {}}, 2),
                       b"\x80\x02cbuiltins\nbytearray\nJ\x00\xca\x9a\x3b\x85R.",
                       b"\x80\x02}(X\x05\x00\x00\x00g_ema}X\x01\x00\x00\x00a"
                       b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
                       b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x00\xca\x9a\x3btQK\x00"
                       b"(J\x00\xca\x9a\x3bt(K\x00tI00\n}tRsu."])
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        archive.writestr("archive/data.pkl", bomb)
        archive.writestr("archive/data/0", bytes(rng.choice([16, 10_000_000])))
    return out.getvalue()


def crowded(many):
    """A .pt file with thousands of entries, all of them the same nothing."""
    entries = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    head, size = b"PK\3\4" + bytes(26), many * len(entries)
    big = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, many, many, size, len(head))
    return (head + entries * many + big + struct.pack("<4sLQL", b"PK\6\7", 0, len(head) + size, 1)
            + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xffff, 0xffff, 2 ** 32 - 1, 2 ** 32 - 1, 0))


def layers(n):
    """A rosinality file whose mapping has n layers, all on the same numbers."""
    state, out = formats.layouts.write(GENERATOR, formats.layouts.rosinality_generator([4, 8], 2)), io.BytesIO()
    state |= {f"style.{i}.{field}": state[f"style.2.{field}"] for i in range(3, n) for field in ("weight", "bias")}
    torch.save({"g_ema": state}, out)
    return out.getvalue()


def long_names(n):
    """n layers that share a parameter with a name of 65,000 letters: together their names are far longer than the file."""
    layer = module(entry("_parameters", entry("w" * 65_000, array([1], "i1", b"\0"))), "Layer") + b"q\x01"
    many = b"(" + text("a") + layer + b"".join(text(str(i)) + b"h\x01" for i in range(n)) + b"u"
    synthesis = module(entry("_modules", b"}(" + text("b4") + module(b"}") + b"u"), "SynthesisNetwork")
    return entry("G_ema", module(entry("_modules", b"}" + many + text("synthesis") + synthesis + b"s")))


def safetensors(rng):
    """A network in this library's own format whose metadata or shapes are hostile."""
    kind = rng.choice(["stylegan2-G", "stylegan2-G", "stylegan2-D", "pggan-G", "stylegan-D", "evil\x1b[31m\nline", "x" * 100_000])
    state = dict(GENERATOR)
    for key in rng.sample(sorted(state), rng.choice([0, 1])):
        state[key] = torch.zeros(rng.choice([[], [0], [4], [1, 2, 3], [4, 4]]))
    if rng.random() < 0.3:
        del state[rng.choice(sorted(state))]
    config = rng.choice(["{}", "[]", "[" * 100_000, '{"conv_clamp": "a"}', '{"conv_clamp": 1e300}', '{"\\u001b[31m": 1}',
                         '{"channels": {}}', "1" * 9000])
    tensors = {key: value.contiguous() for key, value in state.items()}
    return safetensors_torch.save(tensors, {"kind": kind, "config": config})


def widths(rng):
    """Sound files of a network whose tensors do not fit together; one row of weights can promise a layer of any width."""
    state = dict(GENERATOR)
    for key in rng.sample(sorted(state), 2):
        shape = list(state[key].shape)
        if shape:
            shape[rng.randrange(len(shape))] = rng.choice([1, 3, 3000])
        state[key] = torch.zeros(shape)
    if rng.random() < 0.3:
        state = {key.replace("b8", rng.choice(["b1024", "b99999", "b7"])): value for key, value in state.items()}
    if rng.random() < 0.5:
        return files.dump(files.snapshot(state, DISCRIMINATOR), rng.choice([2, 3, 4, 5]))
    out = io.BytesIO()
    torch.save({"g_ema": formats.layouts.write(GENERATOR, formats.layouts.rosinality_generator([4, 8], 2))
                | {"to_rgb1.bias": torch.zeros(1, rng.choice([1, 5]), 1, 1)}}, out)
    return out.getvalue()


def mutated(rng, data):
    """A sound file with some bytes, names or numbers changed, a piece lost, doubled or exchanged."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        at, n = rng.randrange(len(data)), rng.choice([1, 4, 50, 2000])
        kind = rng.randrange(8)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at:at + 4] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x40"])
        elif kind == 2:
            del data[at:at + n]
        elif kind == 3:
            data[at:at] = data[at:at + n]
        elif kind == 4:
            data[at:at] = rng.choice([b"R", b"b", b"\x81", b"\x93", b"t", b"e", b"u", b"h\x00", b"N", b"0", b".", b"Q", b"}", b"]",
                                      b"("])
        elif kind == 5:
            old = rng.choice([b"_rebuild_parameter", b"OrderedDict", b"_load_from_bytes", b"EasyDict", b"Network", b"scalar",
                              b"FloatStorage"])
            data = data.replace(old, rng.choice([b"system", b"eval", b"IntStorage", b"x" * len(old)]), rng.choice([1, -1]))
        elif kind == 6:
            other = rng.randrange(len(data))
            data[at:at + n] = data[other:other + n]
        else:
            del data[rng.randrange(len(data)):]
        if len(data) < 2:
            break
    return bytes(data)


def seeds(folder):
    """Sound files of every format."""
    found = [files.dump(files.snapshot(GENERATOR, DISCRIMINATOR), protocol, core) for protocol, core in
             [(2, "numpy._core"), (3, "numpy.core"), (4, "numpy.core"), (5, "numpy._core")]]
    (folder / "seed").write_bytes(found[0])
    contents = formats.read(folder / "seed")
    networks = {part: contents.read(part) for part in contents.parts}
    for target in ("tensorflow", "rosinality"):
        formats.export(folder / target, networks, target)
        found.append((folder / target).read_bytes())
    torch.save(torch.load(folder / "rosinality", weights_only=True), folder / "legacy", _use_new_zipfile_serialization=False)
    kwargs = {"resolution": 8, "mapping_lrmul": 0.01}
    G, D = (files.tf_network(part, files.tf_variables(state), kwargs) for part, state in [("G", GENERATOR), ("D", DISCRIMINATOR)])
    zoo.save(folder / "ours", GENERATOR, "stylegan2-G", config={"conv_clamp": 256})
    return found + [(folder / name).read_bytes() for name in ("legacy", "ours")] + [files.dump((G, D, G), 4)]


def attempt(path, target="safetensors"):
    """"valid", "refused", or what happened instead; the file is described, converted and loaded."""
    out, refusals = path.with_name(f"out.{target}"), []
    try:
        for arguments in (["info", str(path)], ["convert", str(path), str(out), "--to", target, "--drop-clamp"]):
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    __main__.main(arguments)
            except SystemExit as error:
                refusals.append(str(error))
            if not printed.getvalue().replace("\n", "").isprintable() or printed.getvalue().count("\n") > 10:
                return f"printed {printed.getvalue()[:200]!r}"
        try:
            for part in zoo.contents(path).parts:
                zoo.load(path, part)
        except (ValueError, FileNotFoundError) as error:
            refusals.append(str(error))
            return next((f"unclear: {line[:200]!r}" for line in refusals if not line.isprintable() or not 20 < len(line) < 600),
                        "wrote a damaged file" if out.exists() else "refused")
        if out.exists():
            zoo.load(out)
        return "valid"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"


def alarm(*_):
    raise KeyboardInterrupt("took too long")


def main(folder, count, seed=0):
    """The outcome of `count` files, as a dictionary."""
    torch.set_num_threads(1)
    sound, canary, heard, watching = seeds(folder), folder / "canary", [], []

    def hook(event, arguments):
        if watching and event in FORBIDDEN:
            heard.append(f"{event} {arguments!r:.80}")
    path = folder / "file.pkl"
    for data in sound:
        path.write_bytes(data)
        for target in formats.TARGETS:
            assert attempt(path, target) == "valid", zoo.contents(path)
            path.with_name(f"out.{target}").unlink(missing_ok=True)
    b"a".decode("cp437")                  # zipfile imports this codec for names in old zip files
    sys.addaudithook(hook)
    watching.append(True)
    pickle.loads(b"ccollections\nOrderedDict\n.")
    watching.clear()
    assert heard, "the watch over unpicklers hears nothing"
    heard.clear()
    signal.signal(signal.SIGALRM, alarm)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc/self/statm").exists() else 0
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + 10 ** 9, resource.RLIM_INFINITY))
    results, unexpected, slowest = collections.Counter(), [], 0
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        data = crafted(rng, canary) if number % 2 else mutated(rng, rng.choice(sound))
        path.write_bytes(data)
        target = rng.choice(formats.TARGETS)
        start = time.process_time()
        signal.alarm(30)
        watching.append(True)
        result = attempt(path, target)
        watching.clear()
        signal.alarm(0)
        path.with_name(f"out.{target}").unlink(missing_ok=True)
        slowest = max(slowest, time.process_time() - start)
        if os.environ.get("FORMAT_FUZZ_SHOW"):
            print(number, result, f"{time.process_time() - start:.2f} s", data[:60], file=sys.stderr)
        if canary.exists() or heard or result not in ("valid", "refused"):
            unexpected.append(f"{number}: {result} {heard[:2]} {'canary' if canary.exists() else ''} {len(data)} bytes")
            heard.clear()
        results[result if result in ("valid", "refused") else "unexpected"] += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(*unexpected[:20], sep="\n", end="", file=sys.stderr)
    return {"files": count, "seed": seed, "valid": results["valid"], "refused": results["refused"], "unexpected": len(unexpected),
            "slowest_s": round(slowest, 2), "most_memory_mb": round(grown)}


torch.manual_seed(0)
GENERATOR = stylegan2.Generator(8, z_dim=4, w_dim=4, channels={4: 4, 8: 4}, mapping_layers=2).state_dict()
DISCRIMINATOR = stylegan2.Discriminator(8, channels={4: 4, 8: 4}).state_dict()
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Reads hostile files and says what they did.")
    parser.add_argument("--files", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file for the outcome")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = main(Path(folder), options.files, options.seed)
    print(json.dumps(outcome))
    if options.out:
        command = "python " + " ".join(["tests/fuzz_formats.py", *sys.argv[1:]])
        options.out.write_text(json.dumps({"command": command} | outcome, indent=1) + "\n")
