"""The explorers of a committed lesson, made without running the lesson: of its code only what they depend on."""
import ast

import nbformat
import torch

KEPT = "torch.set_grad_enabled", "torch.manual_seed"        # statements that name nothing and yet matter


def explorers(path, wanted=lambda name: True):
    """The explorers and previews of a notebook whose function has a wanted name, {function: the Explorer or Live}."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    statements = [statement for source in cells for statement in ast.parse(source).body]
    calls = {statement: call for statement in statements if (call := drawing(statement)) and wanted(call.args[0].id)}
    chosen, later = [], None
    while later != (later := {name for one in chosen if isinstance(one, ast.FunctionDef) for name in loaded(one)}) or not chosen:
        chosen, needed = [], set(later)             # what a function reads may be given its value after it
        for statement in reversed(statements):
            if statement in calls or ast.unparse(statement).startswith(KEPT) or (
                    not isinstance(statement, ast.Expr) and needed & stored(statement)):
                needed = needed - stored(statement) | loaded(statement)
                chosen.insert(0, statement)
    made = {}
    names = {}
    with torch.random.fork_rng(), torch.set_grad_enabled(True):
        for statement in chosen:
            if call := calls.get(statement):
                made[call.args[0].id] = eval(compile(ast.Expression(call), str(path), "eval"), names)
                names |= {name: made[call.args[0].id] for name in stored(statement)}
            else:
                exec(compile(ast.Module([statement], []), str(path), "exec"), names)
    return made


def drawing(statement):
    """The call of widgets.explorer or widgets.live in a statement, or None."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("widgets.explorer", "widgets.live"):
            return node
    return None


def stored(statement):
    """The names that a statement of a cell gives a value."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return names_of(statement, ast.Store) - own(statement)


def loaded(statement):
    """The names that a statement reads, but for those of its own functions and comprehensions."""
    inside = names_of(statement, ast.Store) if isinstance(statement, ast.FunctionDef) else set()
    return names_of(statement, ast.Load) - own(statement) - inside


def own(statement):
    """Arguments of functions, and what comprehensions run over."""
    nodes = list(ast.walk(statement))
    loops = [name for node in nodes if isinstance(node, ast.comprehension) for name in names_of(node.target, ast.Store)]
    return {node.arg for node in nodes if isinstance(node, ast.arg)} | set(loops)


def names_of(tree, context):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
