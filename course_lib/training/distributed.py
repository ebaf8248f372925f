"""Several processes, one GPU each, that train one run: torchrun --nproc-per-node 2 -m course_lib.train …

Every process has all networks and draws its own share of a batch. Gradients are averaged before Adam's step, so the weights stay
the same everywhere; the first process writes. Without torchrun all of this does nothing.
"""
import os
import time

import torch
from torch import distributed


def start(device):
    """Join the other processes that torchrun has started, if it has; the device of this one."""
    device, mine = torch.device(device), int(os.environ.get("LOCAL_RANK", 0))
    together = "WORLD_SIZE" in os.environ
    if together and device.type == "mps":
        raise ValueError("several processes cannot share an MPS device; start one, or take --device cpu")
    if together and device.type == "cuda":
        if mine >= torch.cuda.device_count():
            processes = os.environ.get("LOCAL_WORLD_SIZE", mine + 1)
            raise ValueError(f"there are {torch.cuda.device_count()} GPUs on this machine for {processes} processes; start at most "
                             "one for each, with --nproc-per-node")
        device = torch.device("cuda", mine)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)        # whose stream the steps are recorded from
    if not together:
        return device
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def stop():
    """Wait for the others and part from them."""
    if distributed.is_initialized():
        distributed.barrier()
        time.sleep(0.5)                 # until all have left the barrier, before one closes its connections
        distributed.destroy_process_group()


def size():
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank():
    return distributed.get_rank() if distributed.is_initialized() else 0


def per_rank(batch):
    """This process' part of a batch."""
    if batch % size():
        raise ValueError(f"--batch {batch} does not divide among {size()} processes; choose a multiple of {size()}")
    return batch // size()


@torch.no_grad()
def average(tensors):
    """Replace each tensor by its mean over the processes."""
    if size() > 1 and tensors:
        flat = torch.cat([t.detach().flatten() for t in tensors])
        distributed.all_reduce(flat)
        for tensor, mean in zip(tensors, (flat / size()).split([t.numel() for t in tensors])):
            tensor.copy_(mean.view_as(tensor))


def check_consistency(*networks):
    """Raise RuntimeError unless every process holds the same weights."""
    if size() > 1:
        sums = all_gather([sum(p.double().abs().sum().item() for p in network.parameters()) for network in networks])
        if any(other != sums[0] for other in sums):
            raise RuntimeError(f"the processes no longer hold the same weights (their sums, network by network: {sums}); "
                               "nothing was saved")


def all_gather(value):
    """What every process holds, in order of rank."""
    if size() == 1:
        return [value]
    values = [None] * size()
    distributed.all_gather_object(values, value)
    return values
