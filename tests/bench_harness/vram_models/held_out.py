"""Networks that no rule was fitted to: kinds, sizes and layers other than those in tuned.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.contract(F.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext(width: int = 40) -> nn.Module:
    """(3, 64, 64) -> (7,)"""
    blocks = [ConvNeXtBlock(width) for _ in range(3)]
    return nn.Sequential(nn.Conv2d(3, width, 4, 4), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 7))


class DenseBlock(nn.Module):
    def __init__(self, inner: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(inner + i * growth), nn.ReLU(), nn.Conv2d(inner + i * growth, growth, 3, padding=1)
            )
            for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def densenet(growth: int = 12) -> nn.Module:
    """(3, 40, 40) -> (10,)"""
    return nn.Sequential(
        nn.Conv2d(3, 22, 3, padding=1),
        DenseBlock(22, growth, 5),
        nn.Conv2d(22 + 5 * growth, 36, 1),
        nn.AvgPool2d(2),
        DenseBlock(36, growth, 5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(36 + 5 * growth, 10),
    )


class SqueezeExcite3d(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inner, outer, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(6, outer)
        self.gate = nn.Sequential(nn.Linear(outer, outer // 6), nn.ReLU(), nn.Linear(outer // 6, outer), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.conv(x)))
        return y * self.gate(y.mean((2, 3, 4)))[:, :, None, None, None]


def squeeze_excite_3d(width: int = 42) -> nn.Module:
    """(5, 18, 18, 18) -> (3,)"""
    return nn.Sequential(
        SqueezeExcite3d(5, width),
        nn.MaxPool3d(3, 2),
        SqueezeExcite3d(width, 2 * width),
        nn.AvgPool3d(2),
        SqueezeExcite3d(2 * width, 2 * width),
        nn.Flatten(),
        nn.Linear(2 * width * 4**3, 3),
    )


def c3d(width: int = 20) -> nn.Module:
    """(3, 12, 40, 40) -> (11,): video, oblong kernels and sides"""
    return nn.Sequential(
        nn.Conv3d(3, width, (3, 5, 5), padding=(1, 2, 2)),
        nn.ReLU(inplace=True),
        nn.MaxPool3d((1, 2, 2)),
        nn.Conv3d(width, 3 * width, (1, 3, 3), padding=(0, 1, 1)),
        nn.ReLU(inplace=True),
        nn.Conv3d(3 * width, 4 * width, (3, 1, 1), stride=(2, 1, 1)),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool3d(2),
        nn.Flatten(),
        nn.Linear(32 * width, 11),
    )


class UNet3d(nn.Module):
    """(2, 16, 16, 16) -> (4, 16, 16, 16), strided down, interpolated up"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv3d(2, width, 3, padding=1)
        self.down = nn.Conv3d(width, 2 * width, 3, 2, 1)
        self.middle = nn.Conv3d(2 * width, 2 * width, 3, padding=1)
        self.leave = nn.Conv3d(3 * width, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.InstanceNorm3d(n, affine=True) for n in (width, 2 * width, 2 * width))

    def forward(self, x: Tensor) -> Tensor:
        skip = F.leaky_relu(self.norms[0](self.enter(x)))
        x = F.leaky_relu(self.norms[1](self.down(skip)))
        x = F.leaky_relu(self.norms[2](self.middle(x)))
        x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
        return self.leave(torch.cat([skip, x], 1))


def unet3d(width: int = 18) -> nn.Module:
    return UNet3d(width)


def super_resolution(width: int = 28) -> nn.Module:
    """(1, 32, 32) -> (1, 96, 96)"""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(width, 9, 3, padding=1),
        nn.PixelShuffle(3),
    )


def generator(width: int = 20) -> nn.Module:
    """(64,) -> (3, 32, 32), after DCGAN"""
    return nn.Sequential(
        nn.Unflatten(1, (64, 1, 1)),
        nn.ConvTranspose2d(64, 4 * width, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(True),
        nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(True),
        nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


class WaveNet(nn.Module):
    """(1, 800) -> (16, 800): gated dilated causal convolutions with skips"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.gated = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(5))
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(5))
        self.head = nn.Conv1d(width, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        total: Tensor | float = 0.0
        for i, (gated, mix) in enumerate(zip(self.gated, self.mix, strict=True)):
            left, right = gated(F.pad(x, (2**i, 0))).chunk(2, 1)
            y = torch.tanh(left) * torch.sigmoid(right)
            total = total + y
            x = x + mix(y)
        return self.head(F.relu(total))


def wavenet(width: int = 36) -> nn.Module:
    return WaveNet(width)


class Mixer(nn.Module):
    """(49, 72) -> (10,)"""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.tokens = nn.ModuleList(
            nn.Sequential(nn.Linear(tokens, 128), nn.GELU(), nn.Linear(128, tokens)) for _ in range(2)
        )
        self.channels = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 300), nn.GELU(), nn.Dropout(0.2), nn.Linear(300, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(2):
            x = x + self.tokens[i](self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + self.channels[i](self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


def mixer(width: int = 72) -> nn.Module:
    return Mixer(width, 49)


class Translator(nn.Module):
    """(30,) and (24,) int64 -> loss: encoder and causal decoder, output tied to the embedding"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(700, width)
        self.transformer = nn.Transformer(width, 4, 2, 2, 3 * width, dropout=0.0, batch_first=True)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(24))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        y = self.transformer(self.embedding(source), self.embedding(target), tgt_mask=self.mask, tgt_is_causal=True)
        logits = F.linear(y, self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.1)


def translator(width: int = 96) -> nn.Module:
    return Translator(width)


class Decoder(nn.Module):
    """(90,) int64 -> (90, 400): rotary causal attention, RMS norm, gated MLP"""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(400, width)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2 * layers))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width, bias=False) for _ in range(layers))
        self.out = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(width, 6 * width, bias=False) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(3 * width, width, bias=False) for _ in range(layers))
        self.head = nn.Linear(width, 400, bias=False)

    def rotated(self, x: Tensor) -> Tensor:
        length, size = x.shape[-2:]
        angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
        even, odd = x[..., ::2], x[..., 1::2]
        cosine, sine = angle.cos(), angle.sin()
        return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        batch, length, width = x.shape
        for i, qkv in enumerate(self.qkv):
            parts = qkv(self.norms[2 * i](x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            query, key, value = self.rotated(parts[0]), self.rotated(parts[1]), parts[2]
            y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out[i](y.transpose(1, 2).reshape(batch, length, width))
            gate, up = self.up[i](self.norms[2 * i + 1](x)).chunk(2, -1)
            x = x + self.down[i](F.silu(gate) * up)
        return self.head(x)


def decoder(width: int = 112) -> nn.Module:
    return Decoder(width, 4, 3)


class Tagger(nn.Module):
    """(40, 20) -> (40, 9): bidirectional GRU over an Elman RNN"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(20, width, batch_first=True)
        self.gru = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.rnn(x)[0])[0])


def tagger(width: int = 60) -> nn.Module:
    return Tagger(width)


class GraphAttention(nn.Module):
    """(40, 12) and (160, 2) int64 -> (2,): attention over the edges of each node, by scatter"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, width) for size in (12, width, width))
        self.score = nn.ModuleList(nn.Linear(2 * width, 1) for _ in range(3))
        self.head = nn.Linear(width, 2)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        source, target = edges.unbind(-1)
        h = nodes
        for layer, score in zip(self.layers, self.score, strict=True):
            h = layer(h)
            wide = [h.gather(1, index[..., None].expand(-1, -1, h.shape[-1])) for index in (source, target)]
            weight = F.leaky_relu(score(torch.cat(wide, -1)), 0.2).exp()
            total = torch.zeros_like(h[..., :1]).scatter_add(1, target[..., None], weight)
            message = wide[0] * weight / total.gather(1, target[..., None]).clamp_min(1e-6)
            h = F.elu(torch.zeros_like(h).scatter_add(1, target[..., None].expand_as(message), message))
        return self.head(h.amax(1))


def graph_attention(width: int = 56) -> nn.Module:
    return GraphAttention(width)


class Recomputed(nn.Module):
    """(3, 48, 48) -> (5,): convolutions recomputed in backward, with the reentrant kind of checkpoint"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Softplus(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(3)
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=True) + x
        return self.head(x.mean((2, 3)))


def recomputed(width: int = 32) -> nn.Module:
    return Recomputed(width)


def alexnet3d(width: int = 24) -> nn.Module:
    """(1, 35, 35, 35) -> (6,): large kernels and strides, wide head"""
    return nn.Sequential(
        nn.Conv3d(1, width, 7, 2, 2),
        nn.ReLU(),
        nn.MaxPool3d(3, 2),
        nn.Conv3d(width, 2 * width, 5, 1, 2),
        nn.ReLU(),
        nn.MaxPool3d(3, 2),
        nn.Conv3d(2 * width, 2 * width, 3, 1, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(2 * width * 27, 256),
        nn.ReLU(),
        nn.Linear(256, 6),
    )


class Forecaster(nn.Module):
    """(64, 10) -> (3,): two LSTMs of different widths, the last state read out"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.LSTM(10, width, batch_first=True)
        self.second = nn.LSTM(width, 44, batch_first=True)
        self.head = nn.Linear(44, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)[0])[1][0][-1])


def forecaster(width: int = 100) -> nn.Module:
    return Forecaster(width)


class Captioner(nn.Module):
    """(3, 32, 32) and (18,) int64 -> (18, 300): an image starts the state of an LSTM over words"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 34, 5, 2), nn.Hardswish(), nn.Conv2d(34, 52, 3, 2), nn.Flatten())
        self.state = nn.Linear(52 * 6 * 6, width)
        self.words = nn.Embedding(300, 136)
        self.lstm = nn.LSTM(136, width, 2, batch_first=True)
        self.head = nn.Linear(width, 300)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        state = torch.tanh(self.state(self.image(image))).expand(2, -1, -1).contiguous()
        return self.head(self.lstm(self.words(words), (state, torch.zeros_like(state)))[0])


def captioner(width: int = 72) -> nn.Module:
    return Captioner(width)
