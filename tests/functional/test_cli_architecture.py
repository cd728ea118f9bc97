import json
import os
import subprocess
import sys

import pytest

from kit.cli.main import main
from kit.search_space import RESNET48

CODE = "1252233313000000223212122253130000000000006515000000"


def kit(capsys, *arguments):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code or 0, *capsys.readouterr()


def test_the_full_network_has_the_documented_costs(capsys):
    code, out, err = kit(capsys, "architecture", RESNET48.largest.code, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["params"] == 34_043_688
    assert document["macs"] == pytest.approx(5.28e9, rel=1e-3)
    assert document["depths"] == [5, 5, 8, 5]
    assert document["stem_channels"] == 64
    assert document["stages"][2] == {"out_channels": 256, "mid_channels": [256] * 8}


def test_a_code_is_read_digit_by_digit(capsys):
    _, out, _ = kit(capsys, "architecture", "--json", CODE)
    document = json.loads(out)
    assert document["code"] == CODE
    assert document["depths"] == [2, 5, 2, 2]
    assert document["stem_channels"] == 56
    assert document["stages"] == [
        {"out_channels": 56, "mid_channels": [56, 64]},
        {"out_channels": 120, "mid_channels": [120, 112, 128, 128, 120]},
        {"out_channels": 232, "mid_channels": [208, 256]},
        {"out_channels": 408, "mid_channels": [384, 512]},
    ]


def test_options_may_stand_before_or_after(capsys):
    before = kit(capsys, "architecture", "--profile", "nano", "--json", CODE)
    after = kit(capsys, "architecture", CODE, "--json", "--profile", "nano")
    assert before == after
    assert json.loads(before[1])["profile"] == "nano"
    assert json.loads(before[1])["params"] < 1_000_000


def test_the_picture_shows_every_block_and_both_costs(capsys):
    _, out, _ = kit(capsys, "architecture", CODE, "--json")
    document = json.loads(out)
    code, picture, err = kit(capsys, "architecture", CODE)
    assert (code, err) == (0, "")
    for number, stage in enumerate(document["stages"], 1):
        (line,) = [line for line in picture.splitlines() if f"stage {number}" in line]
        assert line.endswith(" ".join(map(str, stage["mid_channels"])))
        assert f" {stage['out_channels']} " in line
    assert f"{document['macs']:,}" in picture
    assert f"{document['params']:,}" in picture


def test_the_picture_needs_no_unicode():
    done = subprocess.run(
        [sys.executable, "-c", "from kit.cli.main import main; main()", "architecture", CODE],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    picture = done.stdout.decode("ascii")
    assert "\\u" not in picture
    assert "## ## ## ## ##" in picture


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (CODE[1:], "has 51"),
        (CODE[:10] + "9" + CODE[11:], "digit 11 "),
        (CODE[:4] + "9" + CODE[5:], "digit 5 "),
        (CODE[:5] + "1" + CODE[6:], "digit 6 "),
        ("[bold]", "[bold]"),
    ],
)
def test_bad_codes_are_2_with_the_digit_and_no_traceback(capsys, code, message):
    exit_code, out, err = kit(capsys, "architecture", code, "--json")
    assert (exit_code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


def test_an_unknown_profile_is_an_error(capsys):
    exit_code, out, err = kit(capsys, "architecture", CODE, "--profile", "imagenot")
    assert (exit_code, out) == (2, "")
    assert "imagenot" in err
