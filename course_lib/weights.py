"""Has this weight changed? The one answer, for what is computed from weights once and kept."""


def state_of(*tensors):
    """What `unchanged` compares tensors with later: their memory, which it holds, and how often PyTorch counts that each was
    written to."""
    return [(tensor.detach(), None if tensor.is_inference() else tensor._version) for tensor in tensors]


def unchanged(state, *tensors):
    """Whether nothing was written to tensors since their `state_of`; without a state, False.

    PyTorch counts what is done in place, by optimizers and by load_state_dict too, but neither writes through `.data`, as in
    `weight.data.zero_()`, nor those of a CUDA graph: write `with torch.no_grad(): weight.zero_()` instead. Tensors of inference
    mode, whose writes nobody counts, are never unchanged.
    """
    return state is not None and len(state) == len(tensors) and not any(tensor.is_inference() for tensor in tensors) and all(
        before.data_ptr() == now.data_ptr() and before.dtype == now.dtype and version == now._version
        for (before, version), now in zip(state, tensors))
