"""A sub-network as a folder that timm loads, with a card that says what it is."""

from pathlib import Path
from typing import Any

from kit import __version__
from kit.costs import costs
from kit.files import claim_folder, write_bytes, write_json
from kit.pipeline.scored_run import Networks, Origin
from kit.supernet.weights import save_weights

FILES = ("config.json", "model.safetensors", "README.md")
CARD = """---
library_name: timm
tags:
- image-classification
- timm
---

# {name}

A sub-network of a ResNet-48 supernet: architecture code `{code}`, {how}.

| | |
|---|---|
| accuracy | {accuracy:.4f} on {images:,} validation images ({correct:,} right) |
| multiply-adds | {macs:,} at {resolution} x {resolution} |
| parameters | {params:,} |
| classes | {classes} |
| trained by | {trained_by} on profile `{profile}`, seed {seed} |
| made with | kit {kit} |

Whoever chose it by its accuracy on these images is flattered by that figure.

```python
import timm
import kit.supernet  # registers the architecture

network = timm.create_model("local-dir:{folder}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(network)  # size, mean and standard deviation of its images
```

License: say here under which licence you publish these weights, and what the licence of the training images allows.
"""


def export_hub(networks: Networks, code: str, folder: Path) -> dict[str, Any]:
    """Calibrate a sub-network of a finished run and write the folder; returns what the card says of it.

    Raises `InputError` for a code outside the space and for a folder that holds something else.
    """
    origin = networks.origin
    architecture = origin.scale.space.parse(code)
    claim_folder(folder, FILES.__contains__, "model")
    network, (correct, images) = networks.subnet(architecture)
    cost = costs(architecture, origin.scale)
    facts: dict[str, Any] = {
        "name": folder.resolve().name,
        "code": code,
        "accuracy": correct / images,
        "correct": correct,
        "images": images,
        "macs": cost.macs,
        "params": cost.params,
        "resolution": origin.profile.resolution,
        "classes": origin.data.num_classes,
        "recipe": origin.recipe,
        "profile": origin.profile.name,
        "seed": origin.seed,
        "how": origin.how,
        "trained_by": origin.trained_by,
        "kit": __version__,
    }
    save_weights(network, folder / "model.safetensors")
    write_json(folder / "config.json", _config(origin, code, network.num_features))
    text = CARD.format(**facts, folder=folder.resolve())
    write_bytes(folder / "README.md", text.encode())
    return facts


def _config(origin: Origin, code: str, features: int) -> dict[str, Any]:
    """What timm reads."""
    data, profile = origin.data, origin.profile
    size = profile.resolution
    return {
        "architecture": "resnet48_subnet",
        "num_classes": data.num_classes,
        "num_features": features,
        "global_pool": "avg",
        "pretrained_cfg": {
            "tag": "kit",
            "custom_load": False,
            "input_size": [3, size, size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 1.0 if size < 64 else 0.875,
            "mean": list(data.mean),
            "std": list(data.std),
            "num_classes": data.num_classes,
            "pool_size": None,
            "first_conv": "conv1",
            "classifier": "fc",
            "license": None,
        },
        "label_names": list(data.classes),
        "model_args": {"code": code, "space": profile.search_space.to_json()},
    }
