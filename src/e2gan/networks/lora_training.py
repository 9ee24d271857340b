"""The adapter's fast path in training: each adapted layer runs once, its backward through the few channels."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

from e2gan.networks.lora import lora_layers
from e2gan.networks.resized_conv import PADDING, STRIDE, ResizedConv2d, transposed_kernel


def _run_once(layer: Any, x: Tensor) -> Tensor:
    base: Any = layer.get_base_layer()
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    kind = type(base)
    if len(names) == 1 and _is_thin(base, layer.r[names[0]]):
        return _run_thin(base, x, layer.lora_A[names[0]].weight, layer.lora_B[names[0]].weight, layer.scaling[names[0]])
    weight = base.weight
    for name in names:
        weight = weight + layer.get_delta_weight(name)
    if issubclass(kind, ResizedConv2d):
        return F.conv_transpose2d(x, transposed_kernel(weight), base.bias, STRIDE, PADDING)
    if issubclass(kind, nn.ConvTranspose2d):
        return F.conv_transpose2d(x, weight, base.bias, base.stride, base.padding, base.output_padding)
    if issubclass(kind, nn.Conv2d):
        return F.conv2d(x, weight, base.bias, base.stride, base.padding)
    return F.linear(x, weight, base.bias)


def _is_thin(base: Any, rank: int) -> bool:
    """Whether the gradients of A and B are cheaper than that of the whole weight, which autograd would go through."""
    frozen = not any(p.requires_grad for p in base.parameters())
    return type(base) in (nn.Conv2d, ResizedConv2d) and frozen and base.groups == 1 and 4 * rank <= base.out_channels


def _run_thin(base: Any, x: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    with torch.no_grad():
        change = torch.mm(B.flatten(1).float(), A.flatten(1).float()).view_as(base.weight)
        whole = base.weight + scale * change.to(base.weight.dtype)
        if isinstance(base, ResizedConv2d):
            whole = transposed_kernel(whole)
    if isinstance(base, ResizedConv2d):
        return _ThinConv2d.apply(x, whole, base.bias, transposed_kernel(A), B, scale, STRIDE, PADDING, True)
    return _ThinConv2d.apply(x, whole, base.bias, A, B, scale, base.stride, base.padding, False)


class _ThinConv2d(torch.autograd.Function):
    """A convolution by `whole` = W + BA, whose backward is that of the branch: r channels instead of all.

    x (N, in, H, W), whole (out, in, k, k), A (r, in, k, k), B (out, r, 1, 1); whole (in, out, k, k) and A (in, r, k, k)
    where it is transposed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        whole: Tensor,
        bias: Tensor | None,
        A: Tensor,
        B: Tensor,
        scale: float,
        stride: tuple[int, int],
        padding: tuple[int, int],
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, whole, A, B)
        ctx.numbers = scale, stride, padding, transposed
        return (F.conv_transpose2d if transposed else F.conv2d)(x, whole, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale, stride, padding, transposed = ctx.numbers
        kept = ctx.saved_tensors
        x, whole, A, B = (t.to(grad.dtype) for t in kept)  # under autocast the gradient is in half precision
        by_rank = torch.matmul(scale * B.flatten(1).T, grad.flatten(2)).unflatten(2, grad.shape[2:])
        grad_x = None
        if transposed:  # its backward is the convolution, with input and output in each other's place
            if ctx.needs_input_grad[0]:
                grad_x = F.conv2d(grad, whole, None, stride, padding)
            branch = F.conv_transpose2d(x, A, None, stride, padding)
            grad_A = conv2d_weight(by_rank, A.shape, x, stride, padding)
        else:
            if ctx.needs_input_grad[0]:
                grad_x = conv2d_input(x.shape, whole, grad, stride, padding)
            branch = F.conv2d(x, A, None, stride, padding)
            grad_A = conv2d_weight(x, A.shape, by_rank, stride, padding)
        grad_B = scale * torch.matmul(grad.flatten(2), branch.flatten(2).mT).sum(0)
        grads = grad_x, grad_A, grad_B.view_as(B)
        grad_x, grad_A, grad_B = (
            g if g is None else g.to(t.dtype) for g, t in zip(grads, (kept[0], *kept[2:]), strict=True)
        )
        return grad_x, None, None, grad_A, grad_B, None, None, None, None


def train_mode(generator: nn.Module) -> nn.Module:
    """Training mode for an adapter: each adapted layer runs once, with W + BA for its weight.

    The function is the same as with the branch beside the layer, and a step takes three quarters of the time on a CPU
    (benchmarks/step.py): a forward branch of one to eight channels is slow out of proportion. The backward is the
    branch's: the gradient of the whole weight costs as much as a forward, and only its product with A and B is wanted.
    The base's batch norms keep their statistics: the adapter's file carries none.
    """
    generator.train()
    for layer in lora_layers(generator).values():
        layer.forward = partial(_run_once, layer)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return generator
