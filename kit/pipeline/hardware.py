"""The device a profile asks for, and what is there."""

import torch

from kit.errors import InputError
from kit.process_group import ProcessGroup
from kit.recipe import Profile
from kit.training.trainer import Hardware


def choose_hardware(profile: Profile, group: ProcessGroup | None = None) -> Hardware:
    """Device, number format and memory layout of a run; sets PyTorch's thread count if the profile names one.

    The processes of a group on one machine take one GPU each.
    """
    group = group or ProcessGroup()
    name = profile.runtime.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and group.size > 1 and torch.cuda.is_available():
        name = f"cuda:{group.local_rank % torch.cuda.device_count()}"
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
    return Hardware(device=device, group=group, autocast=autocast, channels_last=profile.training.channels_last)
