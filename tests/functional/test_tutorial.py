"""The tutorial is true: its commands run, in order, on a small folder of images, and print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PROFILE
from kit_process import MODULE
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
CLASSES, TRAIN, VAL, SIZE = 3, 16, 6, 20
FENCE = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def images(tmp_path):
    """A folder as ImageNet's, three classes that differ in colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("val", VAL)):
        for label in range(CLASSES):
            folder = tmp_path / "images" / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, size=(SIZE, SIZE, 3), dtype=np.uint8)
                pixels[..., label] += 100
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def profile(tmp_path):
    """The tests' small profile under the name of the real one, for images of a folder."""
    changes = {
        'name = "tiny"': 'name = "imagenet"',
        "num_classes = 10": f"num_classes = {CLASSES}",
        "resolution = 8": "resolution = 16",
        "train = 200, validation = 60": "train = 0, validation = 0",
        "steps_per_epoch = 2": "steps_per_epoch = 1",
        "batch_size = 50": "batch_size = 16",
        "pool = { size = 60 }": "pool = { size = 200 }",
        '"shift"': '"crop-flip"',
        "held_out_images = 0": "held_out_images = 18",
    }
    text = PROFILE
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


def looks_like(wanted, found):
    """Whether a printed line is what the page shows, spaces and rules apart; `...` stands for anything."""
    parts = [re.escape(part.strip()) for part in wanted.split("...")]
    return re.search(".*".join(parts), re.sub(r"\s+", " ", found)) is not None


class Shell:
    """Runs a page's lines one by one as `bash -eu` does, with `kit` as the process that the tests' `kit` always is."""

    def __init__(self, folder: Path, names: str) -> None:
        self.folder = folder
        self.names = names
        """Every line so far that sets a name."""

    def run(self, block: str) -> str:
        """What the lines print on stdout."""
        return "".join(self._printed(line) for line in block.splitlines())

    def _printed(self, line: str) -> str:
        if re.match(r"[A-Z]+=", line):
            self.names += f"{line}\n"
            return ""
        words = self._done(["bash", "-euc", f"{self.names}printf '%s\\0' {line}"]).split("\0")[:-1]
        assert words[0] == "kit", f"only kit is known here: {line}"
        return self._done([sys.executable, "-m", MODULE, *words[1:]])

    def _done(self, command: list[str]) -> str:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"OMP_NUM_THREADS": "1", "KIT_DATA_CACHE": "off"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.mark.slow
def test_its_commands_run_and_print_what_it_says(images, profile, tmp_path):
    blocks = FENCE.findall(PAGE.read_text())
    _, names = blocks.pop(0)
    assert names == "DATA=folder:/data/imagenet\nPROFILE=imagenet\nRUN=full-imagenet-s0\n"
    ours = names.replace("/data/imagenet", str(images)).replace("PROFILE=imagenet", f"PROFILE={profile}")
    # A profile of one's own puts a hash behind the run's name.
    ours = ours.replace("RUN=full-imagenet-s0", "RUN=$(ls runs 2>/dev/null | grep ^full | head -1 || true)")
    shell = Shell(tmp_path, ours)
    printed, shown = "", 0
    for language, block in blocks:
        if language == "sh":
            # A truth lies under the profile's name, not under its file's.
            printed = shell.run(block.replace("truth-$PROFILE", "truth-imagenet"))
            continue
        lines = iter(printed.splitlines())
        for wanted in block.splitlines():
            assert any(looks_like(wanted, found) for found in lines), f"{wanted!r} is not in (the rest of)\n{printed}"
            shown += 1
    assert shown > 20 and (tmp_path / "winner" / "model.safetensors").exists()
