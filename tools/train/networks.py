"""The three networks, with everything a server would otherwise have to do around them inside the graph.

uint8 goes in and answers come out: normalisation, neighbouring slices, argmax, masking and attention are part of the
exported graph, so every runtime computes the same thing. Layers are plain convolutions with batch normalisation, which
every engine folds.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.common.tensors import (
    CLASS_MAP_COLUMNS,
    CLASS_MAP_ROWS,
    COLUMNS,
    LABEL_COUNT,
    PLANE_COUNT,
    ROWS,
    SLICES,
    STRUCTURE_COUNT,
)

# a class map is a multiple of 1/2 below 1024: FP16 holds such numbers exactly, so the map that leaves the graph is the
# map the logit was computed from, to the last bit; and four full cells of 1024 are enough to decide a finding
MAP_STEP, MAP_LIMIT = 0.5, 1023.0
# slices on either side that a network sees beside its own: cartilage that lies in the plane of a slice is told from its
# neighbours alone
SEGMENTATION_REACH, CLASSIFICATION_REACH = 2, 1


def _conv(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def seen(reach: int) -> int:
    """How many slices a network sees at once."""
    return 2 * reach + 1


def neighbours(volumes: Tensor, reach: int) -> Tensor:
    """(..., 32, 256, 256) uint8 -> (..., 32, seen, 256, 256) float: slices around each, the ends repeated."""
    x = volumes.float() * (4.0 / 255.0) - 1.0
    padded = torch.cat([x[..., :1, :, :]] * reach + [x] + [x[..., -1:, :, :]] * reach, dim=-3)
    return torch.stack([padded[..., i : i + SLICES, :, :] for i in range(seen(reach))], dim=-3)


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return torch.relu(x + self.body(x))


def untaught(block: Residual) -> Residual:
    """The block such that it changes nothing yet: a network may grow and go on from what it has learnt."""
    nn.init.zeros_(block.get_parameter("body.2.weight"))
    return block


class SegmentationNetwork(nn.Module):
    """A 2.5D U-Net at half resolution with sub-pixel edges; it is told where in the grid it looks.

    Pixels are folded 2 x 2 into channels on the way in and unfolded on the way out, so full resolution is kept and no
    convolution pays for it. The position in the grid tells the medial side from the lateral one.
    """

    def __init__(self) -> None:
        super().__init__()
        # widths are multiples of 16, most of 32: what matrix units of processors and GPUs take at once
        self.stem = nn.Sequential(_conv(4 * seen(SEGMENTATION_REACH) + 3, 32), _conv(32, 32))
        self.down1 = nn.Sequential(_conv(32, 64, stride=2), _conv(64, 64))
        self.down2 = nn.Sequential(_conv(64, 96, stride=2), _conv(96, 96))
        self.down3 = nn.Sequential(
            _conv(96, 160, stride=2), _conv(160, 160), _conv(160, 160, dilation=2), _conv(160, 96)
        )
        # a sixteenth of the resolution costs next to nothing, and tells muscle from effusion and patella from femur
        self.context = nn.Sequential(*(untaught(Residual(96, dilation)) for dilation in (1, 2, 4)))
        self.up2 = nn.Sequential(_conv(192, 96), _conv(96, 64), untaught(Residual(64, 1)))
        self.up1 = nn.Sequential(_conv(128, 64), _conv(64, 32), untaught(Residual(32, 1)))
        self.up0 = nn.Sequential(_conv(64, 48), _conv(48, 48), untaught(Residual(48, 1)))
        self.last = nn.Conv2d(48, STRUCTURE_COUNT * 4, 1)

    def slice_logits(self, slices: Tensor, position: Tensor) -> Tensor:
        """(M, 5, H, W) in -1..3 and the position (M, 3, H/2, W/2) -> (M, 14, H, W).

        The three channels of ``position`` run from -1 to 1 along slice, row and column of the model's grid.
        """
        full = self.stem(torch.cat([functional.pixel_unshuffle(slices, 2), position], dim=1))
        half = self.down1(full)
        quarter = self.down2(half)
        x = self.context(self.down3(quarter))
        x = self.up2(torch.cat([_double(x), quarter], dim=1))
        x = self.up1(torch.cat([_double(x), half], dim=1))
        x = self.up0(torch.cat([_double(x), full], dim=1))
        return functional.pixel_shuffle(self.last(x), 2)

    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 32, 256, 256) uint8 -> labels, runner-up, certainty of that shape (uint8), confidence (N, 14).

        ``certainty`` is 255 times the label's share of its own and the runner-up's probability.
        """
        slices = neighbours(volume, SEGMENTATION_REACH).reshape(-1, seen(SEGMENTATION_REACH), ROWS, COLUMNS)
        position = grid_position().to(volume.device).expand(volume.shape[0], -1, -1, -1, -1)
        logits = self.slice_logits(slices, position.reshape(-1, 3, ROWS // 2, COLUMNS // 2)).float()
        (first, second), (labels, runner_up) = (each.unbind(dim=1) for each in torch.topk(logits, 2, dim=1))
        certainty = torch.round(255.0 * torch.sigmoid(first - second))
        probability = torch.softmax(logits, dim=1)
        chosen = (logits >= first[:, None]).float()
        shape = (-1, SLICES, STRUCTURE_COUNT)
        count = chosen.sum(dim=(2, 3)).reshape(shape).sum(dim=1)
        total = (probability * chosen).sum(dim=(2, 3)).reshape(shape).sum(dim=1)
        maps = (each.reshape(-1, SLICES, ROWS, COLUMNS).to(torch.uint8) for each in (labels, runner_up, certainty))
        return *maps, total / count.clamp(min=1.0)


def grid_position() -> Tensor:
    """Where each 2 x 2 block of the model's grid lies, -1..1 along slice, row, column: (32, 3, 128, 128)."""
    axes = [torch.linspace(-1, 1, count) for count in (SLICES, ROWS // 2, COLUMNS // 2)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class ClassificationNetwork(nn.Module):
    """Dense lesion evidence per slice, turned into exact class maps and pooled by attention over all slices.

    A cell of a class map is ``bias + scale * sigmoid(evidence)``; the logit of a label is the attention-weighted sum of
    its maps' spatial means and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(4 * (seen(CLASSIFICATION_REACH) + 1) + 3, 24)
        self.plane = nn.Parameter(torch.zeros(PLANE_COUNT, 24))
        self.fine = untaught(Residual(24, 1))  # a meniscal tear is two pixels wide: the next fold would hide it
        self.trunk = nn.Sequential(
            _conv(24, 48, stride=2),
            _conv(48, 48),
            untaught(Residual(48, 1)),
            _conv(48, 64, stride=2),
            Residual(64, 1),
            Residual(64, 2),
            Residual(64, 4),
        )
        self.evidence = nn.Conv2d(64, LABEL_COUNT, 1)
        nn.init.constant_(self.evidence.bias, -4.0)  # a finding covers few cells
        self.pooling = StudyPooling()

    def slice_evidence(self, slices: Tensor, position: Tensor, plane: Tensor) -> Tensor:
        """Slices and the region (M, 4, H, W), position (M, 3, H/2, W/2), plane (M,) -> (M, 12, H/8, W/8)."""
        return self._evidence(slices, position, self.plane[plane])

    def _evidence(self, slices: Tensor, position: Tensor, plane: Tensor) -> Tensor:
        x = self.stem(torch.cat([functional.pixel_unshuffle(slices, 2), position], dim=1))
        return self.evidence(self.trunk(self.fine(x + plane[:, :, None, None])))

    def forward(self, volumes: Tensor, slice_mask: Tensor, region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 (N,3,32,256,256), uint8 (N,3,32), float (N,3,4) -> logits, attention, class maps (FP16)."""
        slices = with_region(volumes, region).reshape(-1, seen(CLASSIFICATION_REACH) + 1, ROWS, COLUMNS)
        count = slice_mask.shape[0]
        plane = self.plane[None, :, None, :].expand(count, PLANE_COUNT, SLICES, 24).reshape(-1, 24)
        position = grid_position().to(volumes.device)[None, None].expand(count, PLANE_COUNT, -1, -1, -1, -1)
        evidence = self._evidence(slices, position.reshape(-1, 3, ROWS // 2, COLUMNS // 2), plane).float()
        shape = (-1, PLANE_COUNT, SLICES, LABEL_COUNT, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS)
        maps = self.pooling.maps(evidence.reshape(shape))
        maps = (torch.round(maps / MAP_STEP) * MAP_STEP).clamp(-MAP_LIMIT, MAP_LIMIT)
        logits, attention = self.pooling(maps, slice_mask.float())
        return logits, attention, maps.to(torch.float16)


class StudyPooling(nn.Module):
    """From evidence to class maps, and from the maps of all slices to one logit a label; 9 numbers a label."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.full((LABEL_COUNT,), 1.0))
        self.shift = nn.Parameter(torch.full((LABEL_COUNT,), -1.5))
        self.log_scale = nn.Parameter(torch.full((LABEL_COUNT,), 5.2))
        self.bias = nn.Parameter(torch.full((LABEL_COUNT,), -3.0))
        self.focus = nn.Parameter(torch.zeros(LABEL_COUNT))
        self.plane = nn.Parameter(torch.zeros(PLANE_COUNT, LABEL_COUNT))

    def maps(self, evidence: Tensor) -> Tensor:
        """(..., 12, 32, 32) evidence -> class maps of the same shape."""
        sharp = evidence * self.sharpness[:, None, None] + self.shift[:, None, None]
        return self.bias[:, None, None] + torch.exp(self.log_scale)[:, None, None] * torch.sigmoid(sharp)

    def forward(self, maps: Tensor, slice_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(N,3,32,12,32,32) maps and (N,3,32) mask -> logits (N,12), attention (N,3,32,12) that sums to 1 a label."""
        strength = maps.mean(dim=(4, 5))
        keep = slice_mask[..., None]
        score = torch.nn.functional.softplus(self.focus) * strength + self.plane[:, None, :] - 1e4 * (1 - keep)
        weight = torch.exp(score - score.amax(dim=(1, 2), keepdim=True)) * keep
        attention = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return (attention * strength).sum(dim=(1, 2)), attention


def with_region(volumes: Tensor, region: Tensor) -> Tensor:
    """Neighbouring slices and the region as a box of ones: (N, 3, 32, 4, 256, 256).

    ``region`` is (N, 3, 4): first row, first column, last row, last column in pixels; all zero means everywhere.
    """
    rows = torch.arange(ROWS, device=region.device, dtype=region.dtype)
    columns = torch.arange(COLUMNS, device=region.device, dtype=region.dtype)
    in_rows = (rows >= region[..., 0:1]) & (rows <= region[..., 2:3])
    in_columns = (columns >= region[..., 1:2]) & (columns <= region[..., 3:4])
    unknown = (region.abs().sum(dim=-1, keepdim=True) == 0)[..., None]
    box = ((in_rows[..., :, None] & in_columns[..., None, :]) | unknown).float()
    box = box[:, :, None, None].expand(-1, -1, SLICES, -1, -1, -1)
    return torch.cat([neighbours(volumes, CLASSIFICATION_REACH), box], dim=3)


class CamNetwork(nn.Module):
    """Saliency of one label from the classifier's own outputs: attention times the positive part of the map."""

    def forward(self, class_maps: Tensor, attention: Tensor, label: Tensor) -> Tensor:
        """FP16 (N,3,32,12,32,32), float (N,3,32,12), int64 (N,1) -> uint8 (N,3,32,256,256), maximum 255 a study."""
        chosen = (torch.arange(LABEL_COUNT, device=label.device)[None, :] == label).float()
        maps = torch.relu((class_maps.float() * chosen[:, None, None, :, None, None]).sum(dim=3))
        weight = (attention * chosen[:, None, None, :]).sum(dim=3)
        small = (maps * weight[..., None, None]).reshape(-1, PLANE_COUNT * SLICES, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS)
        large = functional.interpolate(small, size=(ROWS, COLUMNS), mode="bilinear", align_corners=False)
        scaled = large * (255.0 / large.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12))
        return torch.round(scaled).reshape(-1, PLANE_COUNT, SLICES, ROWS, COLUMNS).to(torch.uint8)
