"""Adam in the form that suits a device."""
import torch


def adam(parameters, lr, device, **options):
    """`torch.optim.Adam`, in one kernel for all weights where PyTorch has one; on CUDA its rates are tensors, which recorded steps
    read anew."""
    device = torch.device(device)
    form = {"cuda": dict(fused=True, capturable=True), "cpu": dict(fused=True)}.get(device.type, {})
    optimizer = torch.optim.Adam(parameters, lr=lr, **form, **options)
    if device.type == "cuda":
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(lr), device=device)
    return optimizer


def set_gradient(parameter, gradient):
    """Give a contiguous parameter its gradient, in its own order of memory: PyTorch's Adam in one kernel reads both in that order,
    whatever the gradient's strides are, and would move the wrong entries."""
    parameter.grad = gradient.contiguous()


def set_rate(group, lr):
    """The learning rate of a parameter group from now on, in recorded steps too."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
