"""What of a checkpoint stays on a device of a given memory, and how much it takes at most.

In: the shapes of the networks and the bytes of a device. Out: a `Plan`, or none where the model
does not fit. It loads nothing and imports no torch.
"""

from dataclasses import dataclass, replace

from photogram.weights.packing import Precision, number_bytes
from photogram.weights.sizes import (
    Shapes,
    decode_bytes,
    kept_bytes,
    num_tokens,
    text_bytes,
    token_bytes,
    transformer_bytes,
    unpacking_bytes,
)

GIB = 2**30

_EXACT: tuple[Precision, ...] = ("float32", "bfloat16")
_RESERVE_BYTES = GIB  # the driver's context, workspaces of the libraries, what the allocator wastes
_HOST_RESERVE_BYTES = 3 * GIB // 4  # the interpreter, torch and the libraries, the same waste


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the networks are, and the most memory that the device then needs.

    Attributes:
        precision: Of the transformer's blocks.
        is_host: The device is the CPU, and its memory the host's.
        is_packed: Matrices stay as the file packs them, and are unpacked whenever they are used;
            the pictures are the same, a step takes longer.
        has_text: The text encoders are on the device; else the CPU runs them.
        has_modulation: The modulation's weights are on the device; else they wait in the host's
            memory and pass through the device once a picture.
        weight_bytes: What stays on the device.
        peak_bytes: Weights, kept prompts, a reserve, and a step or a decode, whichever is more.
        most_tokens: Of a step that several pictures share; the largest alone has no more.
    """

    precision: Precision
    is_host: bool
    is_packed: bool
    has_text: bool
    has_modulation: bool
    weight_bytes: int
    peak_bytes: int
    most_tokens: int

    def __str__(self) -> str:
        """A line for people."""
        peculiar = {
            "weights as packed as their file": self.is_packed,
            "text encoders on the CPU": not self.has_text,
            "modulation in the host's memory": not self.has_modulation,
        }
        told = ", ".join(words for words, is_so in peculiar.items() if is_so)
        peak, weights = self.peak_bytes / GIB, self.weight_bytes / GIB
        return f"{peak:.1f} GiB at most, {weights:.2f} of them weights; {told or 'all on it'}"


def choose_plan(
    shapes: Shapes, precision: Precision, device_bytes: int, *, is_host: bool = False
) -> Plan | None:
    """The first plan that fits a device, from everything on it to the least; None if none does.

    Packed weights are unpacked where a GPU has room, which is faster, but are kept packed before a
    text encoder leaves it, which is slower still.
    """
    for plan in _plans(shapes, precision, is_host=is_host):
        if plan.peak_bytes <= device_bytes:
            more = (device_bytes - plan.peak_bytes) // token_bytes(shapes, precision)
            return replace(plan, most_tokens=plan.most_tokens + more)
    return None


def least_plan(shapes: Shapes, precision: Precision, *, is_host: bool = False) -> Plan:
    """The plan that needs the least memory."""
    return _plans(shapes, precision, is_host=is_host)[-1]


def _plans(shapes: Shapes, precision: Precision, *, is_host: bool) -> list[Plan]:
    """Every plan, the fastest first."""
    can_pack = shapes.packed_bytes is not None and precision in _EXACT
    if is_host:
        return [make_plan(shapes, precision, is_packed=can_pack, is_host=True)]
    unpacked = [(False, True, True), (False, True, False)]
    packed = [(True, True, True), (True, True, False)] if can_pack else []
    return [
        make_plan(
            shapes, precision, is_packed=is_packed, has_text=has_text, has_modulation=has_modulation
        )
        for is_packed, has_text, has_modulation in (*unpacked, *packed, (can_pack, False, False))
    ]


def make_plan(
    shapes: Shapes,
    precision: Precision,
    *,
    has_text: bool = True,
    has_modulation: bool = True,
    is_packed: bool = False,
    is_host: bool = False,
) -> Plan:
    """The plan of one placement, with its bytes."""
    core, modulation = transformer_bytes(shapes.transformer, precision)
    step = token_bytes(shapes, precision) * num_tokens(shapes)
    if is_packed and shapes.packed_bytes is not None:
        core, modulation = shapes.packed_bytes
    if is_packed or precision in ("int8", "nf4"):
        step += unpacking_bytes(shapes.transformer)
    weights = core + number_bytes(precision) * shapes.vae_parameters
    weights += modulation * has_modulation + text_bytes(shapes, precision) * has_text
    reserve = _HOST_RESERVE_BYTES if is_host else _RESERVE_BYTES
    beside = kept_bytes(shapes, precision) + reserve
    peak = weights + beside + max(step, decode_bytes(shapes, precision))
    if is_host:  # T5 is packed after it has been read
        others = shapes.text_parameters + shapes.vae_parameters
        peak = max(peak, reserve + number_bytes(precision) * others)
    return Plan(
        precision,
        is_host,
        is_packed,
        has_text,
        has_modulation,
        weight_bytes=weights,
        peak_bytes=peak,
        most_tokens=num_tokens(shapes),
    )
