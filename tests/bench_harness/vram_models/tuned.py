"""Networks of many kinds in plain torch, as users write them; none of them knows what predicts its memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def mlp(width: int = 256, depth: int = 4) -> nn.Module:
    """(64,) -> (10,)"""
    layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def voxnet(width: int = 32) -> nn.Module:
    """(1, 32, 32, 32) -> (10,), after VoxNet"""
    return nn.Sequential(
        nn.Conv3d(1, width, 5, stride=2),
        nn.LeakyReLU(0.1),
        nn.Conv3d(width, width, 3),
        nn.LeakyReLU(0.1),
        nn.MaxPool3d(2),
        nn.Flatten(),
        nn.LazyLinear(128) if width == 0 else nn.Linear(width * 6**3, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def conv3d_wide(width: int = 70, kernel: int = 5) -> nn.Module:
    """(4, 15, 15, 15) -> (6,): wide 3D convolutions, whose filters outweigh their images"""
    return nn.Sequential(
        nn.Conv3d(4, width, kernel, bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(),
        nn.Conv3d(width, 2 * width, kernel, bias=False),
        nn.BatchNorm3d(2 * width),
        nn.ReLU(),
        nn.Conv3d(2 * width, 3 * width, kernel),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(3 * width, 6),
    )


class BasicBlock(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        same = stride == 1 and inner == outer
        self.shortcut = (
            None if same else nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    """(3, side, side) -> (classes,): ResNet-18"""

    def __init__(self, width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        blocks: list[nn.Module] = []
        inner = width
        for stage in range(4):
            for block in range(2):
                outer = width << stage
                blocks.append(BasicBlock(inner, outer, 2 if stage and not block else 1))
                inner = outer
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(inner, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(self.layers(x), 1), 1))


def resnet18(width: int = 64, classes: int = 1000) -> nn.Module:
    return ResNet(width, classes)


class InvertedResidual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inner * expand
        self.same = stride == 1 and inner == outer
        self.conv = nn.Sequential(
            nn.Conv2d(inner, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outer, 1, bias=False),
            nn.BatchNorm2d(outer),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.same else self.conv(x)


def mobilenet(width: int = 16) -> nn.Module:
    """(3, side, side) -> (10,): depthwise convolutions, after MobileNetV2"""
    return nn.Sequential(
        nn.Conv2d(3, 2 * width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU6(inplace=True),
        InvertedResidual(2 * width, width, 1, 1),
        InvertedResidual(width, 24, 2, 6),
        InvertedResidual(24, 24, 1, 6),
        InvertedResidual(24, 32, 2, 6),
        InvertedResidual(32, 32, 1, 6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Encoder(nn.Module):
    def __init__(self, width: int, layers: int, norm_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, width)
        self.position = nn.Parameter(torch.zeros(512, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 1000)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]
        return self.head(self.encoder(x))


def transformer(width: int = 128, layers: int = 2) -> nn.Module:
    """(length,) int64 -> (length, 1000)"""
    return Encoder(width, layers, norm_first=False)


def transformer_layer(width: int = 256) -> nn.Module:
    """(length, width) -> (length, width)"""
    return nn.TransformerEncoderLayer(width, 8, 1024, batch_first=True)


class ViT(nn.Module):
    """(3, 64, 64) -> (10,)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.norm(self.encoder(x))[:, 0])


def vit(width: int = 128) -> nn.Module:
    return ViT(width)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], width: int, layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2000, width)
        self.rnn = kind(width, width, layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(width * (2 if bidirectional else 1), 50)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(tokens))[0])


def lstm(width: int = 128, layers: int = 2, bidirectional: bool = False) -> nn.Module:
    """(length,) int64 -> (length, 50)"""
    return Recurrent(nn.LSTM, width, layers, bidirectional)


def gru(width: int = 128) -> nn.Module:
    """(length,) int64 -> (length, 50)"""
    return Recurrent(nn.GRU, width, 1, False)


class UNet(nn.Module):
    """(1, side, side) -> (2, side, side), with skips"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down1 = self.double(1, width)
        self.down2 = self.double(width, 2 * width)
        self.bottom = self.double(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.side2 = self.double(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.side1 = self.double(2 * width, width)
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def double(inner: int, outer: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.bottom(F.max_pool2d(two, 2))
        x = self.side2(torch.cat([self.up2(x), two], 1))
        return self.head(self.side1(torch.cat([self.up1(x), one], 1)))


def unet(width: int = 16) -> nn.Module:
    return UNet(width)


def autoencoder(width: int = 16) -> nn.Module:
    """(3, side, side) -> (3, side, side)"""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 3, 4, 2, 1),
        nn.Sigmoid(),
    )


def autoencoder3d(width: int = 24) -> nn.Module:
    """(2, side, side, side) -> the same"""
    return nn.Sequential(
        nn.Conv3d(2, width, 3, 2, 1),
        nn.InstanceNorm3d(width),
        nn.ELU(),
        nn.Conv3d(width, 2 * width, 3, 2, 1),
        nn.ELU(),
        nn.ConvTranspose3d(2 * width, width, 4, 2, 1),
        nn.ELU(),
        nn.ConvTranspose3d(width, 2, 4, 2, 1),
    )


def conv1d(width: int = 48) -> nn.Module:
    """(2, length) -> (5,): dilated 1D convolutions"""
    layers: list[nn.Module] = []
    inner = 2
    for power in range(4):
        layers += [
            nn.Conv1d(inner, width, 5, padding=2 << power, dilation=1 << power),
            nn.GroupNorm(4, width),
            nn.GELU(),
        ]
        inner = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 5))


class MessagePassing(nn.Module):
    """(nodes, 16) and (edges, 2) int64 -> (1,): sums messages over edges, batched by offset"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(16, width)
        self.message = nn.ModuleList(nn.Sequential(nn.Linear(2 * width, width), nn.SiLU()) for _ in range(3))
        self.update = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(3))
        self.head = nn.Linear(width, 1)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        batch, count, _ = nodes.shape
        h = self.inner(nodes).flatten(0, 1)
        offsets = torch.arange(batch, device=nodes.device)[:, None] * count
        source, target = (edges[..., 0] + offsets).flatten(), (edges[..., 1] + offsets).flatten()
        for message, update in zip(self.message, self.update, strict=True):
            m = message(torch.cat([h[source], h[target]], -1))
            summed = torch.zeros_like(h).index_add(0, target, m)
            h = h + update(torch.cat([h, summed], -1))
        return self.head(h.view(batch, count, -1).mean(1))


def message_passing(width: int = 64) -> nn.Module:
    return MessagePassing(width)


class Siamese(nn.Module):
    """(2, 3, side, side) -> (1,): one encoder called twice"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, width),
        )
        self.head = nn.Bilinear(width, width, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.head(self.encoder(pairs[:, 0]), self.encoder(pairs[:, 1]))


def siamese(width: int = 32) -> nn.Module:
    return Siamese(width)


class Checkpointed(nn.Module):
    """(256, length) -> (256, length): blocks recomputed in backward"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return x


def checkpointed(width: int = 256) -> nn.Module:
    return Checkpointed(width)


class Attention(nn.Module):
    """(length, width) -> (length, width): softmax spelled out, tied projections"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
            weights = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, -1)
            x = x + weights @ value
        return x


def attention(width: int = 96) -> nn.Module:
    return Attention(width)


class SpeechLSTM(nn.Module):
    """(1, 40, 60) -> (15, 30): convolutions, then three LSTM layers with dropout"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 24, 3, 2, 1)
        self.lstm = nn.LSTM(24 * 20, width, 3, dropout=0.1)
        self.head = nn.Linear(width, 30)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardtanh(self.conv(x), 0, 20).flatten(1, 2).permute(2, 0, 1)
        return F.log_softmax(self.head(self.lstm(y)[0]), -1)


def speech_lstm(width: int = 160) -> nn.Module:
    return SpeechLSTM(width)
