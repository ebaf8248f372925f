"""Exceptions of an answer in one sentence: what happened, in which line, and what to do instead."""
import re
import traceback

from . import guard

LINE = 80                       # characters of a learner's line

IN_PLACE = ("Change no tensor in place (`+=`, `x[…] = …`, methods whose name ends in _): write `x = x + …`, or work on "
            "`x.clone()`.")
BROADCAST = "{0}. Give that dimension size 1 where a number stands for all of it: `keepdim=True` keeps it, `x[:, None]` adds one."
FILL = "There are {1} numbers, which do not fill the shape {0}. {2}"
TYPES = "Two tensors have different types. Make new ones in the type of the input: `dtype=x.dtype`, `x.new_zeros(…)`, `y.to(x)`."
ONE_TRUTH = ("`if`, `and`, `or`, `min(…)` and `max(…)` of Python need one truth value, and here are many. Use `torch.where`, "
             "`torch.minimum`, `torch.maximum`, or say `.all()` or `.any()`.")
UNRELATED = ("The result of `torch.autograd.grad(y, x)` needs a y that was computed from this very x: make x with "
             "`.requires_grad_()` on a tensor of your own, compute y from it, and outside of `no_grad()`.")
A_NUMBER = ("`{1}` belongs to tensors, and here comes a Python {0}. Begin with `torch.as_tensor(x)`, or use Python's own "
            "operations for a number; `isinstance(x, torch.Tensor)` tells them apart.")
A_TUPLE = "This is a tuple of tensors, as torch.autograd.grad returns. Take its first entry: `[0]`."
PRODUCT = ("A matrix product needs as many columns on the left as rows on the right. Row with row is `(a * b).sum(dim=-1)`; every "
           "row with every row is `a @ b.T`.")
JOINED = "torch.cat and torch.stack join tensors whose shapes agree in all other dimensions. Look at both shapes."
ONE_NUMBER = "`float(…)`, `.item()` and the functions of math take one number, and here are several. Use torch's functions."

# What PyTorch, NumPy and Python say, as a pattern, and the sentence for it; {0}, {1}, … are the groups of the pattern.
SENTENCES = [(re.compile(pattern), sentence) for pattern, sentence in (
    # Shapes
    (r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)",
     BROADCAST.format("Two tensors do not fit: dimension {2} has {0} entries in one and {1} in the other")),
    (r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\) at non-singleton dimension (\d+)",
     BROADCAST.format("`expand` cannot make {0} entries of {1} in dimension {2}")),
    (r"could not be broadcast together with shapes (\(.*?\)) (\(.*?\))", BROADCAST.format("The shapes {0} and {1} do not fit")),
    (r"shape '(\[.*?\])' is invalid for input of size (\d+)",
     FILL.format("{0}", "{1}", "A convolution without padding makes maps smaller: take sizes from the tensor that you reshape "
                 "(`y.shape`), and -1 for one that follows from the others.")),
    (r"cannot reshape array of size (\d+) into shape (\(.*?\))", FILL.format("{1}", "{0}", "Look at the array's shape.")),
    (r"view size is not compatible", "The numbers do not lie in this order in memory, so `view` cannot be used. Write `reshape`."),
    (r"mat1 and mat2 shapes|size mismatch, got input|inconsistent tensor size|1D tensors expected|batch2 tensor to be|"
     r"matmul: Input operand", PRODUCT),
    (r"einsum\(\)", "In einsum's equation each dimension has a letter, and the same letter means the same size in all tensors. "
     "Compare with the shapes."),
    (r"Sizes of tensors must match except in dimension|same number of dimensions|stack expects each tensor", JOINED),
    (r"to have (\d+) channels, but got (\d+) channels", "The convolution expects maps of {0} channels and gets {1}. The weight is "
     "[out, in, k, k]; with groups, `in` is that of one group."),
    (r"Expected 3D \(unbatched\) or 4D \(batched\) input", "conv2d takes maps [N, C, H, W]. Look at the shape of what it gets."),
    (r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
     "There is no dimension {2} here: the dimensions of this tensor go from 0 to {1} (or from {0} to -1). Has one been summed?"),
    (r"axis (-?\d+) is out of bounds for array of dimension (\d+)",
     "There is no axis {0}: this array has {1} dimensions, counted from 0."),
    (r"too many indices for", "There are more indices than dimensions. Look at the shape of this tensor."),
    (r"index (-?\d+) is out of bounds for (?:dimension|axis) (\d+) with size (\d+)",
     "There is no index {0} in dimension {1}: it has {2} entries, counted from 0."),
    # Gradients
    (r"leaf Variable that requires grad|is a view and is being modified inplace|modified by an inplace operation|"
     r"more than one element of the written-to tensor", IN_PLACE),
    (r"Can't call numpy\(\) on Tensor that requires grad",
     "NumPy knows no gradients. Write it with torch; where no gradient is asked for, `x.detach().numpy()`."),
    (r"does not require grad|appears to not have been used in the graph", UNRELATED),
    (r"Trying to backward through the graph a second time",
     "The first gradient used up the graph. `create_graph=True` keeps it, and makes the gradient itself differentiable."),
    (r"grad can be implicitly created only for scalar outputs",
     "A gradient is that of one number. Sum over the batch first: `y.sum()`."),
    # Types
    (r"'tuple' object has no attribute|must be Tensor, not tuple|'tuple' and '\w+'|'\w+' and 'tuple'", A_TUPLE),
    (r"'NoneType' object|'NoneType' and|and 'NoneType'|must be Tensor, not NoneType",
     "Something in this line is None: a parameter that was left out, or the result of a function without `return`."),
    (r"'(float|int|bool)' object has no attribute '(\w+)'", A_NUMBER),
    (r"(\w+)\(\): argument '\w+' \(position 1\) must be Tensor, not (float|int|bool)",
     "torch.{0} takes a tensor, and this is of type {1}. Use math.{0} for a number, or `torch.as_tensor(…)`."),
    (r"'(float|int)' object is not (subscriptable|iterable)",
     "Here comes a Python {0}, which has no entries. Ask `isinstance(x, torch.Tensor)` first."),
    (r"'torch.Size' object is not callable", "A shape has no round brackets: `x.shape[0]`, or `x.size(0)`."),
    (r"'Tensor' object is not callable",
     "A tensor is called like a function. Is there a comma or an operator missing before the bracket?"),
    (r"'torch.return_types.\w+' object|not torch.return_types",
     "`max`, `min`, `median` and `sort` with a dimension return values and indices. Take `.values`, or `amax` and `amin`."),
    (r"'Tensor' and '\w+'|'\w+' and 'Tensor'|must be Tensor, not \w+", "A tensor combines with tensors and numbers only: "
     "`torch.tensor(…)` makes one of a list, and a method needs its brackets."),
    (r"same dtype|[Ee]xpected scalar type|Input type .* and (weight|bias) type|result type .* can't be cast", TYPES),
    (r"could not infer output dtype|implemented for 'Long'|floating point or complex",
     "This needs floating-point numbers, and here are integers. Convert them: `.to(x.dtype)`, `float(n)`."),
    (r"Boolean value of Tensor with more than one value|truth value of an array", ONE_TRUTH),
    (r"only one element tensors can be converted|with \d+ elements cannot be converted to Scalar|only .*(length-1|0-dim).* arrays",
     ONE_NUMBER),
    # Python
    (r"values to unpack", "The number of names before `=` is not that of the parts after it."),
    (r"name '(\w+)' is not defined",
     "`{0}` is not defined. Is it a parameter of another name, or a module that the notebook does not import?"),
    (r"division by zero", "Something is divided by 0. Which of the inputs may be 0, and what should the result be there?"),
)]


def raised(error, answer, case=None, who="the generator", seconds=guard.SECONDS):
    """One sentence about an exception, with the learner's line and without a traceback. seconds: the limit that was set."""
    if isinstance(error, guard.OwnFunction):
        return "This is the function you are writing: the library's own is switched off during the check. Write it yourself."
    if isinstance(error, guard.TimeLimit):
        return (f"Your function did not finish in {seconds:.0f} seconds. Look for a loop that never ends."
                + (" It still runs in the background; restart the kernel to stop it." if error.args else ""))
    if isinstance(error, guard.Replaced):
        return f"Your function replaces {error.args[0]}. That was undone; use names of your own."
    if isinstance(error, guard.LeftBehind):
        return f"Your function changes {error.args[0]} and leaves it so. {error.args[1]}"
    if isinstance(error, guard.BadResult):
        return f"It {error}."
    if isinstance(error, RecursionError):
        return "Your function calls itself without end, or returns a list that contains itself."
    if isinstance(error, (SystemExit, GeneratorExit)):
        return "Your function leaves Python, as exit() does. Use `return`."
    code = getattr(answer, "__code__", None)
    lines = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    who = "Your function" if lines or case else f"With it {who}"
    sentence = translated(error)
    if "'NoneType'" in named(error) and "backward" in getattr(code, "co_names", ()):
        sentence = "The inputs of a check are no leaves, so their .grad is None: use torch.autograd.grad."
    return (f"{who} raises {type(error).__name__ if sentence else named(error)}{quoted(lines)}."
            + (f" {sentence}" if sentence else "") + (f" The input: {case.what}." if case else ""))


def quoted(lines):
    """Where it happened: the learner's last line of a traceback."""
    if not lines:
        return ""
    text = lines[-1].line or ""
    return f" in line {lines[-1].lineno}" + (f" (`{text[:LINE]}{'…' * (len(text) > LINE)}`)" if text else "")


def translated(error):
    """What to do about it, or None for an exception that explains itself."""
    text = named(error, 300)
    for pattern, sentence in SENTENCES:
        match = pattern.search(text)
        if match:
            return sentence.format(*match.groups())


def named(error, length=160):
    """Type and first line of an exception, at most `length` characters, without addresses."""
    try:
        text = re.sub(r"0x[0-9a-fA-F]+", "0x…", (str(error).strip().splitlines() or [""])[0]).rstrip(".")
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:length]}{'…' * (len(text) > length)}" if text else type(error).__name__
