"""The device a profile asks for, and what is there."""

import torch

from kit.errors import InputError
from kit.recipe import Profile
from kit.training.trainer import Hardware


def choose_hardware(profile: Profile) -> Hardware:
    """Device, number format and memory layout of a run; sets PyTorch's thread count if the profile names one."""
    name = profile.runtime.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"runtime.device: {name!r} is no device", hint="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"runtime.device: {name} is asked for, but PyTorch sees no GPU", hint="use device = 'auto' or 'cpu'"
        )
    if profile.runtime.threads:
        torch.set_num_threads(profile.runtime.threads)
    autocast = torch.bfloat16 if profile.training.precision == "bfloat16" else None
    return Hardware(device=device, autocast=autocast, channels_last=profile.training.channels_last)
