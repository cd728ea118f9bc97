import json

import pytest

from kit.cli.main import main
from kit.pipeline import doctor


def run_doctor(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, object]]:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--json", *options])
    return int(stop.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_working_installation_passes(capsys, tmp_path):
    code, document = run_doctor(capsys, "--runs", str(tmp_path / "not" / "there" / "yet"))
    failed = [check for check in document["checks"] if not check["ok"] and check["level"] == "error"]
    assert (code, document["ok"], failed) == (0, True, [])
    assert not list(tmp_path.iterdir()), "a diagnosis leaves nothing behind"


def test_a_missing_package_is_found_with_its_fix(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    code, document = run_doctor(capsys, "--runs", str(tmp_path))
    [finding] = [check for check in document["checks"] if check["id"] == "package-no-such-package"]
    assert code == 1
    assert not finding["ok"] and "pip install no-such-package" in finding["fix"]


def test_a_place_that_cannot_be_written_is_found(capsys):
    code, document = run_doctor(capsys, "--runs", "/proc/runs")
    [finding] = [check for check in document["checks"] if check["id"] == "storage"]
    assert code == 1
    assert not finding["ok"] and "/proc" in finding["message"]
