"""The files of an archive as a tree, with their sizes and what they are for."""

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from kit.dashboard.bindings import bindings
from kit.submission.archives import WRONG, Member
from kit.submission.layout import code_of
from kit.watch.text import clean, size

MAX_SHOWN = 2000
GUIDE = 2
SIZE_WIDTH = 9
ROLE_WIDTH = 12


class ArchiveTree(Tree[Member]):
    """Folders open and close; the member under the cursor is told by `Tree.NodeHighlighted`."""

    BINDINGS = bindings("tree")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"tree--size", "tree--role", "tree--bad"}

    _shown: Sequence[Member] = ()

    def on_mount(self) -> None:
        self.show_root = False
        self.guide_depth = GUIDE

    def show(self, members: Sequence[Member]) -> None:
        """Show these files, all folders open."""
        if members == self._shown:
            return
        self._shown = members
        self.clear()
        folders: dict[str, TreeNode[Member]] = {"": self.root}
        for member in members[:MAX_SHOWN]:
            folder, _, name = member.path.rpartition("/")
            self._folder(folder, folders).add_leaf(Text(_short(name, member.path)), member)
        if len(members) > MAX_SHOWN:
            self.root.add_leaf(Text(f"and {len(members) - MAX_SHOWN:,} more"))
        self.root.expand_all()
        self.cursor_line = 0

    def _folder(self, path: str, folders: dict[str, TreeNode[Member]]) -> TreeNode[Member]:
        if path not in folders:
            parent, _, name = path.rpartition("/")
            folders[path] = self._folder(parent, folders).add(Text(f"{clean(name) or '·'}/"))
        return folders[path]

    def render_label(self, node: TreeNode[Member], base_style: Style, style: Style) -> Text:
        """Name, size and role in columns, wherever in the tree the name begins."""
        member = node.data
        if member is None:
            return super().render_label(node, base_style, style)
        depth = member.path.count("/")
        label = Text(str(node.label), style=style, no_wrap=True)
        room = max(8, min(44, self.size.width - SIZE_WIDTH - ROLE_WIDTH - 4))
        label.truncate(max(4, room - GUIDE * depth), overflow="ellipsis", pad=True)
        wrong = member.role in WRONG
        label.append(f"{size(member.size):>{SIZE_WIDTH}}  ", self._named("tree--size", style))
        label.append(clean(member.role), self._named("tree--bad" if wrong else "tree--role", style))
        return label

    def _named(self, name: str, style: Style) -> Style:
        return style + self.get_component_rich_style(name, partial=True)


def _short(name: str, path: str) -> str:
    """A file's name; of a code only its beginning and end, which is what fits."""
    code = code_of(path)
    shown = name if code is None else name.replace(code, f"{code[:5]}…{code[-4:]}")
    return clean(shown) or "·"
