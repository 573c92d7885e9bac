"""The convolutional stack of Coconet: voices with holes in, what may stand in each cell out.

Architecture: Coconet (Huang, Cooijmans, Roberts, Courville and Eck, ISMIR 2017), the "straight" variant of its authors'
public code, which is ES-Net's "Gibbs sampling" baseline: 3x3 convolutions, two 2x2 ones at the end, batch normalisation
after every convolution, a residual connection round every second pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CoconetNetwork(nn.Module):
    """``layers`` convolutions of ``filters`` channels on the plane of steps and pitches, one channel per voice."""

    def __init__(self, *, layers: int = 64, filters: int = 128, voices: int = 4) -> None:
        super().__init__()
        widths = [2 * voices, *[filters] * (layers - 1), voices]
        self.sizes = [3] * (layers - 2) + [2, 2]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, size, bias=False)
            for before, after, size in zip(widths, widths[1:], self.sizes, strict=False)
        )
        self.normalisations = nn.ModuleList(_normalisation(width) for width in widths[1:])

    def forward(self, voices: Tensor, mask: Tensor) -> Tensor:
        """Logits ``(B, V, T, P)`` over the pitches of each cell, for one-hot ``voices`` ``(B, V, T, P)``.

        ``mask`` ``(B, V, T)`` is true where the network does not see the voice.
        """
        hidden = mask[..., None].expand(voices.shape).to(voices.dtype)
        x = torch.cat([voices * (1 - hidden), hidden], dim=1)
        skip: Tensor | None = None
        last = len(self.convolutions) - 1
        layers = zip(self.sizes, self.convolutions, self.normalisations, strict=True)
        for i, (size, convolve, normalise) in enumerate(layers):
            before, after = (size - 1) // 2, size // 2
            y = normalise(convolve(F.pad(x, (before, after, before, after))))
            if 0 < i < last:
                if i % 2 == 1:
                    skip = x
                elif skip is not None:
                    y = y + skip
            x = y if i == last else F.relu(y)
        return x


def _normalisation(width: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(width, eps=1e-7, momentum=0.01)
    nn.init.constant_(made.weight, 0.1)
    return made
