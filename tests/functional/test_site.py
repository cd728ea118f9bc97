"""The pages as a site: nothing missing, every name of the interface documented, nothing asked of another host."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERFACE = (
    "kit.search_space.Architecture",
    "kit.search_space.SearchSpace",
    "kit.search_space.InvalidArchitectureError",
    "kit.pool.load_pool",
    "kit.pool.write_predictions",
    "kit.supernet.ElasticResNet",
    "kit.supernet.FewShotSupernet",
    "kit.supernet.extract_subnet",
    "kit.supernet.weights.load_weights",
    "kit.supernet.weights.load_supernet",
    "kit.supernet.pdparams.to_paddle",
    "kit.training.Path",
    "kit.training.separate_backward",
    "kit.training.shared_backward",
    "kit.evaluation.evaluate_architectures",
    "kit.evaluation.Evaluator",
    "kit.data.open_data",
    "kit.correlation.rank_correlation",
    "kit.recipe.load_profile",
    "kit.methods.Phase",
    "kit.methods.Sampler",
)


class Parts(HTMLParser):
    """What a page loads by itself, and the ids that links can lead to."""

    def __init__(self):
        super().__init__()
        self.loaded, self.ids = [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        fetches = tag in ("script", "img", "iframe", "source") or (tag == "link" and given.get("rel") != "canonical")
        self.loaded += [given[name] for name in ("src", "href") if fetches and given.get(name)]


@pytest.mark.slow
def test_the_site_is_whole_and_needs_no_network(tmp_path):
    site = tmp_path / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "api.html", "tutorial.html", "networks.html"} <= {page.name for page in pages}
    for page in pages:
        parts = Parts()
        parts.feed(page.read_text())
        for address in parts.loaded:
            assert not re.match(r"(?:\w+:)?//", address), f"{page.name} loads {address}"
            target = (page.parent / address.partition("?")[0].partition("#")[0]).resolve()
            assert page.name == "404.html" or target.exists(), f"{page.name} loads {address}"
        assert page.stat().st_size < 2_000_000
    api = Parts()
    api.feed((site / "api.html").read_text())
    assert set(INTERFACE) <= api.ids, set(INTERFACE) - api.ids


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == set(re.findall(r"[\w-]+\.md", menu))
