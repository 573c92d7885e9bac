"""The U-Net of ES-Net: a piano roll in, one number per cell out.

Architecture: ES-Net (Chi, Kumar, Yaddanapudi, Suresh and Isik, ISMIR 2020), section 3, with what its text leaves open
settled as its authors' public code does it: the first and last blocks without dropout, no batch normalisation in the
last block of either side, that of the decoder after the skip connection, nearest-neighbour upsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """``levels`` blocks down and up again, ``filters`` channels in the first and twice as many in each deeper one."""

    def __init__(self, *, filters: int = 32, levels: int = 5, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [filters << level for level in range(levels)]
        self.multiple = 1 << levels  # of which both sides of a roll must be
        self.down = nn.ModuleList(
            _two_convolutions(before, width) for before, width in zip([1, *widths], widths, strict=False)
        )
        self.down_end = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool2d(2),
                nn.Dropout(dropout if level > 0 else 0.0),
                nn.BatchNorm2d(width) if level < levels - 1 else nn.Identity(),
            )
            for level, width in enumerate(widths)
        )
        self.bottom = _two_convolutions(widths[-1], 2 * widths[-1])
        self.up_begin = nn.ModuleList(
            nn.BatchNorm2d(3 * width) if level > 0 else nn.Identity() for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(_two_convolutions(3 * width, width) for width in widths)
        self.up_end = nn.ModuleList(nn.Dropout(dropout if level > 0 else 0.0) for level in range(levels))
        self.head = nn.Conv2d(filters, 1, 1)

    def forward(self, rolls: Tensor) -> Tensor:
        """Logits ``(B, T, P)`` of rolls ``(B, T, P)``; sides are padded with silence to what the pooling needs."""
        steps, pitches = rolls.shape[1:]
        padding = (0, -pitches % self.multiple, 0, -steps % self.multiple)
        x = F.pad(rolls.to(self.head.weight.dtype), padding)[:, None]
        skips = []
        for block, end in zip(self.down, self.down_end, strict=True):
            skips.append(block(x))
            x = end(skips[-1])
        x = self.bottom(x)
        for level in reversed(range(len(skips))):
            x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips[level]], dim=1)
            x = self.up_end[level](self.up[level](self.up_begin[level](x)))
        return self.head(x)[:, 0, :steps, :pitches]


def _two_convolutions(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
    )
