"""Every number of docs/rank-consistency.md comes from committed data, by the command that stands above it."""

import re
import shlex

import pytest

BLOCK = re.compile(r"^```\n\$ kit (.+)\n((?:.*\n)*?)```$", re.MULTILINE)


@pytest.mark.slow
def test_what_the_page_shows_is_what_its_commands_print(kit, checkout, tmp_path, monkeypatch):
    page = (checkout / "docs" / "rank-consistency.md").read_text()
    blocks = BLOCK.findall(page)
    assert blocks and page.count("\n$ kit ") == len(blocks)
    monkeypatch.chdir(checkout)
    for number, (command, printed) in enumerate(blocks):
        where = ["--runs", str(tmp_path / str(number))] if command.startswith("run ") else []
        outcome = kit(*shlex.split(command), *where)
        assert outcome.code == 0, outcome.err
        assert "sub-networks a step" not in outcome.err, "a row was missing, or is of other settings"
        assert outcome.out.strip() == printed.strip()
