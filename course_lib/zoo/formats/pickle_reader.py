"""A pickle reader that looks nothing up and calls nothing.

`parse` turns a pickle into plain containers, numbers, strings, views of the file's bytes, and `Record`s: inert notes
that say which call the file asked for. Names must be on an allow-list, and even those are only names. What a file can
make the reader do is bounded: every opcode, every visit and every byte produced is counted in `Limits`, declared sizes
are compared with the bytes that are left, and bytes are never copied.
"""
import pickle
import struct

CONTAINERS = {"collections OrderedDict", "dnnlib.util EasyDict", "builtins set", "__builtin__ set"}
LONG_TEXT = 65536


class FormatError(ValueError):
    """A file is damaged, hostile, or of a kind that is not supported; the message says which."""


class Limits:
    """What one file may cost: opcodes and visits together, bytes of text and tensors that are made from it."""

    def __init__(self, size, steps=500_000):
        self.steps, self.bytes = steps, 3 * size + 2 ** 20

    def step(self, n=1):
        self.steps -= n
        if self.steps < 0:
            raise FormatError("it asks for more than 500,000 steps; the largest snapshots need about 50,000")

    def produce(self, n):
        self.bytes -= n
        if self.bytes < 0:
            raise FormatError("its parts add up to several times its own size; in a file of networks no bytes are used twice")


class Global:
    """The name of a function or class, `module name`. It is never imported."""
    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Record:
    """A call that the file asked for and that was not made: its name, arguments and the state that was to follow."""
    __slots__ = ("name", "args", "state")

    def __init__(self, name, args, state=None):
        self.name, self.args, self.state = name, args, state


class LongText:
    """A string of more than 64 KiB (embedded source text, or the bytes of a tensor in protocol 2), left undecoded."""
    __slots__ = ("view",)

    def __init__(self, view):
        self.view = view


def parse(data, allowed, limits, start=0, persistent=False):
    """The pickle at `start` in the memoryview `data`: (value, position behind it).

    allowed: names like "collections OrderedDict" that may occur; persistent: whether persistent ids may.
    """
    machine = Machine(data, start, allowed, limits, persistent)
    try:
        return machine.run(), machine.at
    except (IndexError, struct.error, UnicodeDecodeError):
        raise FormatError(f"its pickle is damaged near byte {machine.at:,}") from None


class Machine:
    """The stack machine of PEP 307, 3154 and 574, for the opcodes that files of networks use."""

    def __init__(self, data, start, allowed, limits, persistent):
        self.data, self.at, self.allowed, self.limits, self.persistent = data, start, allowed, limits, persistent
        self.stack, self.marks, self.memo = [], [], {}

    def run(self):
        while True:
            self.limits.step()
            code = bytes(self.take(1))
            if code == pickle.STOP:
                return self.pop()
            if code not in OPCODES:
                raise FormatError(f"it uses the pickle opcode {code!r} at byte {self.at - 1:,}; files of networks do not")
            OPCODES[code](self)

    def take(self, n):
        if n > len(self.data) - self.at:
            raise FormatError(f"it is cut off: {n:,} bytes are missing or were never there, from byte {self.at:,}")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def pop(self):
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError
        return self.stack.pop()

    def pop_mark(self):
        start = self.marks.pop()
        items, self.stack[start:] = self.stack[start:], []
        return items

    def push(self, value):
        self.stack.append(value)

    def text(self, n):
        view = self.take(n)
        if n > LONG_TEXT:
            return self.push(LongText(view))
        self.limits.produce(n)
        self.push(str(view, "utf-8"))

    def remember(self, key):
        self.memo[key] = self.stack[-1]

    def recall(self, key):
        if key not in self.memo:
            raise IndexError
        self.push(self.memo[key])

    def tuple(self, n):
        self.push(tuple([self.pop() for _ in range(n)][::-1]))

    def extend(self, items):
        target = self.stack[-1]
        if type(target) is not list:
            raise FormatError("it appends to something that is no list")
        target.extend(items)

    def set_items(self, items):
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise FormatError("it sets items of something that is no dictionary")
        for key, value in zip(items[::2], items[1::2]):
            if type(key) is not str and not (type(key) is int and abs(key) < 2 ** 31):     # larger ones can share a hash
                raise FormatError("a dictionary in it has keys that are neither strings nor small integers")
            target[key] = value

    def name(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise FormatError("it names a function by something that is no string")
        full = f"{module} {name}"
        if full not in self.allowed:
            raise FormatError(f"it asks for {ascii(full[:80])}, which files of networks do not need; nothing was executed")
        self.push(Global(full))

    def global_line(self):
        words = []
        for _ in range(2):
            line = bytes(self.data[self.at:self.at + 256]).partition(b"\n")
            if not line[1]:
                raise IndexError
            self.take(len(line[0]) + 1)
            words.append(str(line[0], "utf-8"))
        self.name(*words)

    def call(self):
        args, function = self.pop(), self.pop()
        if type(function) is not Global or type(args) is not tuple:
            raise FormatError("it calls something that is no function on the list")
        if function.name in CONTAINERS:
            return self.push(self.container(function.name, args))
        self.push(Record(function.name, args))

    def container(self, name, args):
        if name.endswith(" set"):
            if len(args) == 1 and type(args[0]) is list:
                return args[0]
        elif not args:
            return {}
        raise FormatError(f"it makes a {name.split()[1]} with arguments that files of networks do not give")

    def build(self):
        state, target = self.pop(), self.stack[-1]
        if type(target) is Record and target.state is None:
            target.state = state
        elif type(target) is not dict:      # attributes of a dictionary, such as _metadata of a state dict, are left out
            raise FormatError("it sets the state of something that takes none")

    def persistent_id(self):
        if not self.persistent:
            raise FormatError("it holds a persistent id, which only PyTorch's own tensor streams do")
        self.push(Record("persistent id", self.pop()))

    def protocol(self):
        version = self.number("B")
        if not 2 <= version <= 5:
            raise FormatError(f"its pickle protocol is {version}; protocols 2 to 5 are read")

    def frame(self):
        size = self.number("<Q")
        if size > len(self.data) - self.at:
            raise FormatError(f"it is cut off: a frame of {size:,} bytes starts at byte {self.at:,}")

    def long(self):
        self.push(int.from_bytes(self.take(self.number("B")), "little", signed=True))


OPCODES = {
    pickle.PROTO: Machine.protocol, pickle.FRAME: Machine.frame,
    pickle.NONE: lambda m: m.push(None), pickle.NEWTRUE: lambda m: m.push(True), pickle.NEWFALSE: lambda m: m.push(False),
    pickle.BININT: lambda m: m.push(m.number("<i")), pickle.BININT1: lambda m: m.push(m.number("B")),
    pickle.BININT2: lambda m: m.push(m.number("<H")), pickle.LONG1: Machine.long,
    pickle.BINFLOAT: lambda m: m.push(m.number(">d")),
    pickle.SHORT_BINUNICODE: lambda m: m.text(m.number("B")), pickle.BINUNICODE: lambda m: m.text(m.number("<I")),
    pickle.BINUNICODE8: lambda m: m.text(m.number("<Q")),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.take(m.number("B"))), pickle.BINBYTES: lambda m: m.push(m.take(m.number("<I"))),
    pickle.BINBYTES8: lambda m: m.push(m.take(m.number("<Q"))), pickle.BYTEARRAY8: lambda m: m.push(m.take(m.number("<Q"))),
    pickle.EMPTY_LIST: lambda m: m.push([]), pickle.EMPTY_SET: lambda m: m.push([]),
    pickle.EMPTY_DICT: lambda m: m.push({}), pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.MARK: lambda m: m.marks.append(len(m.stack)), pickle.TUPLE: lambda m: m.push(tuple(m.pop_mark())),
    pickle.TUPLE1: lambda m: m.tuple(1), pickle.TUPLE2: lambda m: m.tuple(2), pickle.TUPLE3: lambda m: m.tuple(3),
    pickle.APPEND: lambda m: m.extend([m.pop()]), pickle.APPENDS: lambda m: m.extend(m.pop_mark()),
    pickle.ADDITEMS: lambda m: m.extend(m.pop_mark()),
    pickle.SETITEM: lambda m: m.set_items([m.pop(), m.pop()][::-1]), pickle.SETITEMS: lambda m: m.set_items(m.pop_mark()),
    pickle.BINPUT: lambda m: m.remember(m.number("B")), pickle.LONG_BINPUT: lambda m: m.remember(m.number("<I")),
    pickle.MEMOIZE: lambda m: m.remember(len(m.memo)),
    pickle.BINGET: lambda m: m.recall(m.number("B")), pickle.LONG_BINGET: lambda m: m.recall(m.number("<I")),
    pickle.GLOBAL: Machine.global_line, pickle.STACK_GLOBAL: lambda m: m.name(*[m.pop(), m.pop()][::-1]),
    pickle.REDUCE: Machine.call, pickle.NEWOBJ: Machine.call, pickle.BUILD: Machine.build,
    pickle.BINPERSID: Machine.persistent_id,
}
