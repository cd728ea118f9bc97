"""What the tests of reports share: a page is read as a browser reads it."""

import re
from html.parser import HTMLParser


class Reader(HTMLParser):
    """Tags with their attributes, and whether every one is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def check_page(folder, out):
    """The page stands alone, and everything beside it is named in it."""
    text = (folder / "report.html").read_text()
    page = Reader(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object"}
    assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)\S+", text), "it refers to other places"
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == len(list(folder.glob("*.svg"))) > 0
    assert all(attributes["role"] == "img" for attributes in pictures) and text.count("<title>") == len(pictures) + 1
    assert text.count("<figcaption>") == len(pictures), "every picture is told in words"
    assert ("html", {"lang": "en"}) in page.tags and "prefers-color-scheme: dark" in text
    assert str(folder.resolve()) in out
    return page
