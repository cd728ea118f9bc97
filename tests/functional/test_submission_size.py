"""An archive of the challenge's size, with a supernet of ImageNet's widths, is checked in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_archive import data_members, synthetic, whole

from kit.pool import draw_pool
from kit.recipe import load_profile
from kit.submission.archive import write_archive

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")]

ENTRIES = 45_000
MAX_MEGABYTES = 300
SCRIPT = """
import json, sys
from pathlib import Path
from kit.submission.checks import check_archive
report = check_archive(Path(sys.argv[1]))
# Not `ru_maxrss`, which a process inherits from the one that started it.
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"failed": [each.message for each in report.checks if not each.ok], "megabytes": int(peak) / 1024}))
"""


def test_an_archive_of_the_challenges_size_is_checked_in_little_memory(tmp_path: Path) -> None:
    pool = draw_pool(load_profile("imagenet").published_space, ENTRIES, 0)
    write_archive(tmp_path / "large.tar", whole(data_members(synthetic(profile="imagenet", pool=pool))))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "large.tar")]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert result["failed"] == []
    assert result["megabytes"] < MAX_MEGABYTES, result
