"""Whether a weight has changed: what PyTorch counts, and what it does not."""
import pytest
import torch
from torch import nn

from course_lib.weights import state_of, unchanged


def sgd(layer):
    layer.weight.requires_grad_()
    layer.weight.grad = torch.ones_like(layer.weight)
    torch.optim.SGD([layer.weight], lr=0.5).step()


def under_inference_mode(layer):
    with torch.inference_mode():
        layer.weight[0] = 1


WRITES = {"in place": lambda layer: layer.weight.mul_(2), "one entry": lambda layer: layer.weight[0, 1].fill_(3), "optimizer": sgd,
          "by the smallest difference": lambda layer: layer.weight[0, 0].mul_(1 + 2 ** -23), "inference mode": under_inference_mode,
          "load": lambda layer: layer.load_state_dict(nn.Linear(4, 3).state_dict()),
          "assigned": lambda layer: layer.load_state_dict(nn.Linear(4, 3).state_dict(), assign=True),
          "other memory": lambda layer: setattr(layer.weight, "data", layer.weight + 1), "float64": lambda layer: layer.double(),
         "half precision in between": lambda layer: layer.half().float()}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_changes_a_weight_and_reading_does_not(write):
    layer = nn.Linear(4, 3).requires_grad_(False)
    state = state_of(layer.weight, layer.bias)
    layer(torch.ones(1, 4)), layer.weight.data, layer.weight.sum()
    assert unchanged(state, layer.weight, layer.bias)
    with torch.no_grad():
        WRITES[write](layer)
    assert not unchanged(state, layer.weight, layer.bias)


def test_memory_that_is_given_back_is_not_taken_for_the_old_weight():
    """Large tensors are often allocated where the last one was freed."""
    weight = nn.Parameter(torch.ones(512, 512), requires_grad=False)
    for _ in range(20):
        state = state_of(weight)
        weight.data = weight.half()
        weight.data = weight.float()
        assert not unchanged(state, weight)


def test_a_write_through_data_is_not_seen_and_one_in_place_is():
    """Documented, as what to write instead is."""
    weight = nn.Parameter(torch.ones(3))
    state = state_of(weight)
    weight.data.zero_()
    assert unchanged(state, weight)
    with torch.no_grad():
        weight.zero_()
    assert not unchanged(state, weight)


def test_weights_of_inference_mode_and_without_a_state_are_never_unchanged():
    with torch.inference_mode():
        weight = torch.ones(3)
    assert not unchanged(state_of(weight), weight) and not unchanged(None, torch.ones(3))
    assert not unchanged(state_of(torch.ones(3)), torch.ones(3), torch.ones(3))
