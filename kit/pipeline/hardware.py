"""The device a profile asks for, and what is there."""

import torch

from kit.errors import InputError
from kit.process_group import ProcessGroup
from kit.recipe import Profile
from kit.training.trainer import Hardware

NAMES = "use auto, cpu, cuda or cuda:N"
AMX_DOUBT = (
    "note: on processors with AMX, bfloat16 gradients of PyTorch 2.14.1 were seen to hold memory that nobody wrote; "
    "`kit benchmark device` tries it here, and precision float32 is safe"
)


def doubts(hardware: Hardware) -> tuple[str, ...]:
    """What is known to go wrong with a number format on a device like this."""
    on_cpu = hardware.device.type == "cpu" and hardware.autocast is torch.bfloat16
    return (AMX_DOUBT,) if on_cpu and torch.cpu.get_capabilities().get("amx_tile") else ()


def choose_hardware(profile: Profile, group: ProcessGroup | None = None) -> Hardware:
    """Device, number format and memory layout of a run; sets PyTorch's thread count and GPU if the profile names them.

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
        raise InputError(f"runtime.device: {name!r} is no device", hint=NAMES) from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"runtime.device: the kit does not compute on {name!r}", hint=NAMES)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = f"{torch.cuda.device_count()} GPUs" if torch.cuda.is_available() else "no GPU"
        raise InputError(
            f"runtime.device: {name} is asked for, but PyTorch sees {seen}", hint="use device = 'auto' or 'cpu'"
        )
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # CUDA graphs and page-locked memory belong to the current one
    if profile.runtime.threads:
        torch.set_num_threads(profile.runtime.threads)
    autocast = torch.bfloat16 if profile.training.precision == "bfloat16" else None
    return Hardware(device=device, group=group, autocast=autocast, channels_last=profile.training.channels_last)
