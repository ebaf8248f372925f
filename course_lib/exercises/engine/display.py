"""How results, hints and progress look, as text and as HTML. Nothing here depends on a clock, a machine or the progress."""
import html as escape
import re

MARKS = {"right": ("✓", "#009E73"), "wrong": ("✗", "#D55E00"), "error": ("!", "#D55E00"), "not attempted": ("○", "#666666")}


def text(result):
    lines = [f"{MARKS[result.status][0]} {result.exercise} · {result.status}", result.message]
    if result.printed:
        lines.append(f"Your function printed: {result.printed.strip()}")
    return "\n".join(line for line in lines if line)


def html(result):
    mark, color = MARKS[result.status]
    printed = f"<br>Your function printed:<pre>{escape.escape(result.printed.strip())}</pre>" if result.printed else ""
    return (f'<div style="border-left:4px solid {color};padding:2px 10px"><b>{mark} {escape.escape(result.exercise)} · '
            f"{result.status}</b><br>{marked(result.message)}{printed}</div>")


def marked(message):
    """A message as HTML: `code` and *emphasis* as in Markdown, anything else as it is."""
    parts = re.split(r"`([^`]+)`", message)
    plain = [re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"<em>\1</em>", escape.escape(part)) for part in parts[::2]]
    code = [f"<code>{escape.escape(part)}</code>" for part in parts[1::2]] + [""]
    return "".join(a + b for a, b in zip(plain, code))


def in_notebook():
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


class Text:
    """Text that a cell shows as it is: `code` is set in a fixed width."""

    def __init__(self, words, code=""):
        self.words, self.code = words, code

    def __repr__(self):
        return "\n\n".join(part.rstrip() for part in (self.words, self.code) if part)

    def _repr_markdown_(self):
        return self.words + (f"\n\n```python\n{self.code.rstrip()}\n```" if self.code else "")


class Overview:
    """The exercises and what became of them, {id: status}; those never tried are "not attempted"."""

    def __init__(self, statuses):
        self.statuses = statuses

    def __repr__(self):
        done = sum(status == "right" for status in self.statuses.values())
        rows = [f"{MARKS[status][0]} {name:32s} {status}" for name, status in self.statuses.items()]
        return "\n".join([f"{done} of {len(self.statuses)} exercises are right", *rows])

    def _repr_html_(self):
        done = sum(status == "right" for status in self.statuses.values())
        share = 100 * done / max(len(self.statuses), 1)
        rows = "".join(f'<tr><td style="color:{MARKS[s][1]}">{MARKS[s][0]}</td><td style="text-align:left">{n}</td>'
                       f'<td style="text-align:left">{s}</td></tr>' for n, s in self.statuses.items())
        return (f"<b>{done} of {len(self.statuses)} exercises are right</b>"
                f'<div role="img" aria-label="{done} of {len(self.statuses)} done" style="width:320px;height:8px;'
                f'background:#e4e4e4"><div style="width:{share:.0f}%;height:8px;background:#009E73"></div></div>'
                f"<table>{rows}</table>")
