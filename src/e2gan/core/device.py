"""Where to compute, and in which precision."""

from __future__ import annotations

import functools
import time
from contextlib import AbstractContextManager
from typing import Literal

import torch
import torch.nn.functional as F

from e2gan.core.errors import InputError, InputTypeError

Precision = Literal["auto", "fp32", "bf16"]


def resolve_device(name: str | torch.device) -> torch.device:
    """auto takes CUDA, then MPS, then the CPU. Raises InputError where the device is not there."""
    if not isinstance(name, (str, torch.device)):
        raise InputTypeError(f"a device is a text (auto, cpu, cuda, cuda:N or mps), not {type(name).__name__}")
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:  # it would list all that PyTorch has a name for
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {name}: must be auto, cpu, cuda, cuda:N or mps")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {name}: not on this machine ({str(error).splitlines()[0]})") from None
    return device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """bf16 autocast where it was asked for, or measured to be fast; else nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=uses_bf16(device, precision))


def uses_bf16(device: torch.device, precision: Precision) -> bool:
    return precision == "bf16" or (precision == "auto" and bf16_is_fast(device))


@functools.cache
def bf16_is_fast(device: torch.device) -> bool:
    """Whether a residual block's convolution is at least 1.3 times as fast in bf16, forward and backward.

    Hardware with bf16 units is 2 to 6 times as fast and hardware without is slower, so that the answer, and with it
    the weights that a seed gives, does not hang on the noise of a clock. On the CPU one thread is timed: several would
    wait for whatever else runs on the machine.
    """
    if device.type == "mps":
        return False  # autocast there is fp16 first; nothing measured yet
    if device.type == "cuda":  # one small convolution would time the launch alone; bf16 units come with Ampere
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        return False  # bf16 units come with AVX-512; without, the measurement alone takes a quarter of a minute
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [(_seconds(device, torch.float32), _seconds(device, torch.bfloat16)) for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    fp32, bf16 = (min(column) for column in zip(*times, strict=True))
    return fp32 > 1.3 * bf16


def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    rng = torch.Generator(device).manual_seed(
        0
    )  # its own: the measurement must not change the random numbers of the training
    x = torch.rand(1, 256, 32, 32, device=device, dtype=dtype, generator=rng).requires_grad_()
    w = torch.rand(256, 256, 3, 3, device=device, dtype=dtype, generator=rng).requires_grad_()
    start = time.perf_counter()
    F.conv2d(x, w, padding=1).sum().backward()
    return time.perf_counter() - start
