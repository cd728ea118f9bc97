"""Sub-supernets: copies of a supernet that each own one cell of a partition of the space."""

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from kit.search_space import Architecture, SearchSpace
from kit.supernet.elastic import ElasticResNet


class FewShotSupernet(nn.Module):
    """Members and the cells they own; an architecture is computed by the member whose cell holds it."""

    def __init__(self, members: Sequence[ElasticResNet], cells: Sequence[SearchSpace]) -> None:
        super().__init__()
        assert members and len(members) == len(cells), "one cell per member"
        self.members = nn.ModuleList(members)
        self.cells = tuple(cells)
        self.space = members[0].space
        self.num_classes: int = members[0].num_classes

    @classmethod
    def from_supernet(cls, supernet: ElasticResNet, cells: Sequence[SearchSpace]) -> "FewShotSupernet":
        """Copy one supernet into every cell."""
        return cls([copy.deepcopy(supernet) for _ in cells], cells)

    def cell_of(self, architecture: Architecture) -> int:
        for index, cell in enumerate(self.cells):
            if cell.owns(architecture):
                return index
        raise AssertionError(f"no cell owns {architecture}")

    def member_of(self, architecture: Architecture) -> ElasticResNet:
        """The member that computes an architecture."""
        member = self.members[self.cell_of(architecture)]
        assert isinstance(member, ElasticResNet)
        return member

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Classify with one sub-network: `(N, 3, H, W) -> (N, classes)`."""
        logits: Tensor = self.member_of(architecture)(x, architecture)
        return logits
