"""Steps that are recorded in CUDA graphs."""
import torch


class GraphStep:
    """A step that runs eagerly at first, is then recorded in a CUDA graph, and replayed from there on.

    A step at 64 px is bound by the launches of its small kernels; a replay launches them all at once. The eager steps
    are ordinary ones: they let Adam make its state and cuDNN choose its kernels, and count as training. Steps that follow each
    other may share a memory pool, `torch.cuda.graph_pool_handle()`: nothing that one leaves there is read by another. They
    also share `waiting`, a set of those that have not run yet: while one is left none is recorded, so that the memory of eager
    steps, which graphs cannot use, has been given back before theirs is taken.

    step: tensors → a list of tensors, or neither; whatever else it returns is dropped. Its inputs, from whatever device, are
    copied to where the graph reads them; all that it reads beside them must stay where it is. Returned are copies of what the
    graph writes.
    """
    side = None                 # the stream of eager steps: one for all, for PyTorch keeps the memory of every stream apart

    def __init__(self, step, pool=None, waiting=None):
        self.step, self.pool, self.graph, self.inputs = step, pool, None, None
        self.waiting = set() if waiting is None else waiting
        self.waiting.add(self)

    def __call__(self, *inputs):
        if self.inputs is None:
            self.inputs = [x.to("cuda", copy=True) for x in inputs]
        for mine, x in zip(self.inputs, inputs, strict=True):
            mine.copy_(x, non_blocking=True)
        if self.waiting:
            self.waiting.discard(self)
            side = GraphStep.side = GraphStep.side or torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                outputs = self.run()
            torch.cuda.current_stream().wait_stream(side)
            return outputs
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            # NCCL's watchdog may ask in another thread.
            with torch.cuda.graph(self.graph, pool=self.pool, capture_error_mode="thread_local"):
                self.outputs = self.run()
        self.graph.replay()
        return [x.clone() for x in self.outputs] if isinstance(self.outputs, list) else None

    def run(self):
        with torch.autograd.set_multithreading_enabled(False):      # or cuDNN tries its kernels once for each thread
            return self.step(*self.inputs)


def recorded(step, device, captured=None):
    """The step as a GraphStep, on the current GPU unless `captured` is False; elsewhere as it is."""
    current = device.type == "cuda" and device.index == torch.cuda.current_device()
    return GraphStep(step) if current and captured is not False else step
