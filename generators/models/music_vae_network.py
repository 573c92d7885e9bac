"""The networks of the MusicVAE family: an LSTM encoder, and a flat or a hierarchical LSTM decoder.

Architectures: Roberts, Engel and Eck, NIPS 2017 workshop; Roberts, Engel, Raffel, Hawthorne and Eck, ICML 2018. Where
their text is silent their public code is followed. Tokens are ``(B, T, C)`` with C columns (1; 3 for a trio), each
with a vocabulary of its own. One LSTM of a column does not see the tokens of the others in the hierarchical decoder;
the flat decoder sees and gives all of them at once.

The public code draws the first weights to and from z so small that z says nothing at first, and with little training
the decoder never comes to listen: after 2,000 steps of 32 windows of 16 bars, the z of another window did as well.
``early_latent`` begins with a z that tells windows apart: larger weights, a narrow posterior, and forget gates of the
encoder that remember up to the whole window (Tallec and Ollivier, Can Recurrent Neural Networks Warp Time?, ICLR 2018).
After 1,000 such steps another window's z cost 93 nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPREAD, EARLY_SPREAD = 0.001, 0.1  # standard deviation of the first weights to and from z: the public code's, and ours
EARLY_SCALE = -2.0  # softplus of which is the first scale of the posterior

Chosen = Callable[[int, Tensor], Tensor]  # (column, logits (B, V)) -> tokens (B,): what stands at the next step


class Lstm(nn.LSTM):
    """torch's LSTM as TensorFlow counts it: one bias per gate (torch's second is kept at 0), the forget gate's at 1."""

    def __init__(self, inputs: int, hidden: int, layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__(inputs, hidden, layers, batch_first=True, bidirectional=bidirectional)
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                parameter.requires_grad_(False).zero_()
            elif name.startswith("bias_ih"):
                nn.init.zeros_(parameter)
                with torch.no_grad():
                    parameter[hidden : 2 * hidden] = 1.0

    @torch.no_grad()
    def remember(self, steps: int) -> None:
        """Forget gates that begin open for up to so many steps, each cell's drawn, and input gates closed to match."""
        for name, bias in self.named_parameters():
            if name.startswith("bias_ih"):
                lasting = torch.empty(self.hidden_size).uniform_(1, steps).log()
                bias[: 2 * self.hidden_size] = torch.cat([-lasting, lasting])

    def step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step forwards ``(B, inputs)`` -> ``(B, hidden)``: layer by layer, faster than a call of ``forward``."""
        made = []
        for layer, (h, c) in enumerate(zip(*state, strict=True)):
            weights = [getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            made.append(torch.lstm_cell(x, (h, c), *weights))
            x = made[-1][0]
        hs, cs = zip(*made, strict=True)
        return x, (torch.stack(hs), torch.stack(cs))


class InitialState(nn.Module):
    """tanh of an affine map of a vector, as the first state of every layer of an LSTM."""

    def __init__(self, inputs: int, hidden: int, layers: int, spread: float = SPREAD) -> None:
        super().__init__()
        self.layers = layers
        self.weight = nn.Parameter(spread * torch.randn(2 * layers * hidden, inputs))
        self.bias = nn.Parameter(torch.zeros(2 * layers * hidden))

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, inputs)`` -> h and c, ``(layers, B, hidden)`` each."""
        h, c = F.linear(vector, self.weight, self.bias).tanh().view(len(vector), 2, self.layers, -1).permute(1, 2, 0, 3)
        return h.contiguous(), c.contiguous()


class Encoder(nn.Module):
    """A bidirectional LSTM; its last states give mean and scale of the posterior."""

    def __init__(self, inputs: int, hidden: int, layers: int, latent: int) -> None:
        super().__init__()
        self.lstm = Lstm(inputs, hidden, layers, bidirectional=True)
        self.mean, self.scale = (nn.Linear(2 * hidden, latent) for _ in range(2))
        for head in (self.mean, self.scale):
            nn.init.normal_(head.weight, std=SPREAD)
            nn.init.zeros_(head.bias)

    def begin_early(self, steps: int) -> None:
        """First weights with which z tells windows of so many steps apart."""
        nn.init.normal_(self.mean.weight, std=EARLY_SPREAD)
        nn.init.constant_(self.scale.bias, EARLY_SCALE)
        self.lstm.remember(steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One-hot tokens ``(B, T, sum of V)`` -> mean and scale ``(B, Z)``."""
        _, (h, _) = self.lstm(x)
        summary = torch.cat([h[-2], h[-1]], dim=1)  # of the last layer, forwards and backwards
        return self.mean(summary), F.softplus(self.scale(summary))


class FlatDecoder(nn.Module):
    """z is the first state and stands beside the previous tokens at every step; without z a plain language model."""

    def __init__(
        self, vocabularies: Sequence[int], hidden: int, layers: int, latent: int, spread: float = SPREAD
    ) -> None:
        super().__init__()
        self.vocabularies = list(vocabularies)
        self.begin = InitialState(latent, hidden, layers, spread)
        self.lstm = Lstm(sum(vocabularies) + latent, hidden, layers)
        self.head = nn.Linear(hidden, sum(vocabularies))

    def forward(self, z: Tensor, tokens: Tensor) -> list[Tensor]:
        """Logits ``(B, T, V)`` per column, each step given the true tokens ``(B, T, C)`` before it."""
        previous = shifted(one_hot(tokens, self.vocabularies))
        beside = z[:, None].expand(-1, tokens.shape[1], -1)
        hidden, _ = self.lstm(torch.cat([previous, beside], dim=2), self.begin(z))
        return list(self.head(hidden).split(self.vocabularies, dim=2))

    def run(self, z: Tensor, steps: int, chosen: Callable[[int], Chosen]) -> tuple[Tensor, list[Tensor]]:
        """Tokens ``(B, T, C)`` step by step, each fed back, and the logits ``(B, T, V)`` that they were chosen from."""
        state = self.begin(z)
        previous = z.new_zeros(len(z), sum(self.vocabularies))
        tokens, logits = [], []
        for t in range(steps):
            hidden, state = self.lstm.step(torch.cat([previous, z], dim=1), state)
            now = self.head(hidden).split(self.vocabularies, dim=1)
            choose = chosen(t)
            tokens.append(torch.stack([choose(column, given) for column, given in enumerate(now)], dim=1))
            logits.append(now)
            previous = one_hot(tokens[-1][:, None], self.vocabularies)[:, 0]
        return torch.stack(tokens, dim=1), [torch.stack(column, dim=1) for column in zip(*logits, strict=True)]


class HierarchicalDecoder(nn.Module):
    """A conductor turns z into one vector per segment, from which a decoder per column writes that segment.

    The state of the lower LSTMs begins anew in each segment; the previous token crosses over (public code).
    """

    def __init__(
        self,
        vocabularies: Sequence[int],
        hidden: int,
        layers: int,
        latent: int,
        segments: int,
        conductor: int,
        conductor_layers: int,
        conductor_out: int | None,
        spread: float = SPREAD,
    ) -> None:
        super().__init__()
        self.vocabularies, self.segments = list(vocabularies), segments
        out = conductor_out or conductor
        self.begin = InitialState(latent, conductor, conductor_layers, spread)
        self.conductor = Lstm(1, conductor, conductor_layers)
        self.project = nn.Linear(conductor, out) if conductor_out else nn.Identity()
        self.lower_begin = nn.ModuleList(InitialState(out, hidden, layers, spread) for _ in vocabularies)
        self.lower = nn.ModuleList(Lstm(v + out, hidden, layers) for v in vocabularies)
        self.head = nn.ModuleList(nn.Linear(hidden, v) for v in vocabularies)

    def conduct(self, z: Tensor) -> Tensor:
        """One vector per segment: ``(B, U, out)``; each depends on z and nothing else."""
        hidden, _ = self.conductor(z.new_zeros(len(z), self.segments, 1), self.begin(z))
        return self.project(hidden)

    def forward(self, z: Tensor, tokens: Tensor) -> list[Tensor]:
        """Logits ``(B, T, V)`` per column, each step given the true tokens of its column before it."""
        b, t, _ = tokens.shape
        vectors = self.conduct(z).reshape(b * self.segments, -1)
        length = t // self.segments
        beside = vectors[:, None].expand(-1, length, -1)
        answers = []
        for column, vocabulary in enumerate(self.vocabularies):
            previous = shifted(one_hot(tokens[..., column : column + 1], [vocabulary]))
            inputs = torch.cat([previous.reshape(b * self.segments, length, vocabulary), beside], dim=2)
            hidden, _ = self.lower[column](inputs, self.lower_begin[column](vectors))
            answers.append(self.head[column](hidden).view(b, t, vocabulary))
        return answers

    def run(self, z: Tensor, steps: int, chosen: Callable[[int], Chosen]) -> tuple[Tensor, list[Tensor]]:
        """Tokens ``(B, T, C)`` step by step, each fed back, and the logits ``(B, T, V)`` that they were chosen from."""
        vectors, length = self.conduct(z), steps // self.segments
        previous = [z.new_zeros(len(z), v) for v in self.vocabularies]
        states: list[tuple[Tensor, Tensor]] = []
        tokens, logits = [], []
        for t in range(steps):
            vector = vectors[:, t // length]
            if t % length == 0:
                states = [begin(vector) for begin in self.lower_begin]
            choose, now, made = chosen(t), [], []
            for column, vocabulary in enumerate(self.vocabularies):
                inputs = torch.cat([previous[column], vector], dim=1)
                lower = self.lower[column]
                assert isinstance(lower, Lstm)
                hidden, states[column] = lower.step(inputs, states[column])
                now.append(self.head[column](hidden))
                made.append(choose(column, now[-1]))
                previous[column] = F.one_hot(made[-1], vocabulary).to(z.dtype)
            tokens.append(torch.stack(made, dim=1))
            logits.append(now)
        return torch.stack(tokens, dim=1), [torch.stack(column, dim=1) for column in zip(*logits, strict=True)]


class MusicVae(nn.Module):
    """Encoder and decoder. ``latent`` 0: the decoder alone, which is the workshop paper's baseline."""

    def __init__(
        self,
        *,
        vocabularies: Sequence[int],
        steps: int,
        latent: int,
        encoder: int = 0,
        encoder_layers: int = 1,
        decoder: int,
        decoder_layers: int,
        segments: int | None = None,
        conductor: int = 0,
        conductor_layers: int = 2,
        conductor_out: int | None = None,
        early_latent: bool = False,
    ) -> None:
        super().__init__()
        if segments is not None and steps % segments:
            raise ValueError(f"{steps} steps cannot be cut into {segments} segments of one length")
        self.vocabularies, self.steps, self.latent = list(vocabularies), steps, latent
        self.encoder = Encoder(sum(vocabularies), encoder, encoder_layers, latent) if latent else None
        if self.encoder is not None and early_latent:
            self.encoder.begin_early(steps)
        spread = EARLY_SPREAD if early_latent else SPREAD
        self.decoder: FlatDecoder | HierarchicalDecoder
        if segments is None:
            self.decoder = FlatDecoder(vocabularies, decoder, decoder_layers, latent, spread)
        else:
            self.decoder = HierarchicalDecoder(
                vocabularies,
                decoder,
                decoder_layers,
                latent,
                segments,
                conductor,
                conductor_layers,
                conductor_out,
                spread,
            )

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of the posterior, ``(B, Z)``."""
        if self.encoder is None:
            empty = torch.zeros(len(tokens), 0, device=tokens.device)
            return empty, empty
        return self.encoder(one_hot(tokens, self.vocabularies))


def one_hot(tokens: Tensor, vocabularies: Sequence[int]) -> Tensor:
    """Tokens ``(B, T, C)`` as float ``(B, T, sum of V)``, column after column."""
    return torch.cat([F.one_hot(tokens[..., c].long(), v) for c, v in enumerate(vocabularies)], dim=-1).to(
        torch.get_default_dtype()
    )


def shifted(x: Tensor) -> Tensor:
    """What stands one step before each step ``(B, T, V)``: zeros before the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :-1]
