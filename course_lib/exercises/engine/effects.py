"""What a call leaves behind in the tensors and networks that it was given: gradients, flags, modes, values."""
import torch

BACKWARD = ("backward() adds to the .grad of everything on its way, where the owner's own may lie. `torch.autograd.grad` returns a "
            "gradient and leaves nothing behind.")


def held(tensors, networks):
    """Tensors and networks as they are before a call. tensors: pairs (name, tensor); networks: by the words for them."""
    tensors = [*((f"`{name}`", tensor) for name, tensor in tensors),
               *((f"the parameters of {name}", p) for name, network in networks.items() for p in network.parameters())]
    return ([(name, tensor, flags(tensor)) for name, tensor in tensors],
            [(name, network, modes(network), values(network)) for name, network in networks.items()])


def flags(tensor):
    grad = tensor.grad if tensor.is_leaf else None
    return tensor.requires_grad, tensor.retains_grad, grad, None if grad is None else grad._version


def modes(network):
    return [module.training for module in network.modules()]


def values(network):
    return [value.detach().clone() for value in network.state_dict().values()]


def left(before):
    """A sentence about the first thing that is no longer as it was `held`, or None."""
    tensors, networks = before
    for name, tensor, (requires_grad, retains_grad, grad, version) in tensors:
        now = flags(tensor)
        if now[2] is not grad or now[3] != version:
            verb = "throws away the gradient in" if now[2] is None else "leaves a gradient in"
            return f"Your function {verb} {name}: {BACKWARD}"
        if now[1] and not retains_grad:
            return f"Your function leaves retain_grad() on {name}. `torch.autograd.grad` needs no such mark."
        if now[0] != requires_grad:
            return (f"Your function leaves requires_grad = {now[0]} on {name}, which is not its own. Work on a tensor of yours: "
                    "`x.detach().requires_grad_()`, or a new result.")
    for name, network, training, numbers in networks:
        if modes(network) != training:
            return f"Your function leaves {name} in another mode: train() or eval() is for its owner to call."
        if not all(map(torch.equal, values(network), numbers)):
            return f"Your function changes the parameters or buffers of {name}. Leave them as they are."
