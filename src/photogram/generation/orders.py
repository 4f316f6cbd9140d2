"""What is ordered, on which terms, and how both are kept with the job."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from photogram.core.messages import DEFAULT_MODEL, Adapter, ImageFormat
from photogram.core.strength import first_step


@dataclass(frozen=True, slots=True)
class SourcePictures:
    """What the pictures of an order begin from; PNG files of its own width and height.

    Attributes:
        image: 8-bit RGB.
        mask: 8-bit grey, white where the image is painted over; None: everywhere.
    """

    image: bytes
    mask: bytes | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be painted; validated, and with every default filled in.

    Attributes:
        seed: The first picture's; picture i has ``seed + i``, so that it is the same picture as an
            order of one with that seed.
        quality: 0-100.
        pixel_factor: The price's factor for this size; 1 at the model's native sizes.
        timeout_s: The caller's own deadline; the server's holds too.
        num_previews: So many pictures on the way are wanted, evenly spread over the steps.
        adapters: What it is painted with beside the model, in any order, none twice.
        model: The slug of what paints it.
        strength: 0-1: how much is painted anew of the picture that all begin from; None: they
            begin from noise alone.
        source: That picture; None too where an order is read back whose pictures are not needed.
    """

    prompt: str
    width: int
    height: int
    num_steps: int
    guidance: float
    seed: int
    num_images: int
    image_format: ImageFormat
    quality: int
    pixel_factor: Decimal
    timeout_s: float | None = None
    num_previews: int = 0
    adapters: tuple[Adapter, ...] = ()
    model: str = DEFAULT_MODEL
    strength: float | None = None
    source: SourcePictures | None = None

    @property
    def first_step(self) -> int:
        """Steps that are left out, because the pictures do not begin from noise alone."""
        return 0 if self.strength is None else first_step(self.strength, self.num_steps)

    @property
    def num_steps_run(self) -> int:
        """Steps that really run, for each picture."""
        return self.num_steps - self.first_step


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's own name for a request that it may send again.

    Attributes:
        key: The name; one account's names are its own.
        fingerprint: Of the route and the body: the same name with another one is a conflict.
        names_job: The answer is where to ask for the job, whatever becomes of it; else its pictures.
    """

    key: str
    fingerprint: str
    names_job: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How an order is taken.

    Attributes:
        request_id: What the client calls it; empty: the job's own id.
        is_async: The client does not wait: the job outlives the connection and the server.
        idempotency: The same request again gives the same pictures, and is billed once; such a job
            outlives the connection and the server too.
        files_url: What a picture's file name is put behind to fetch it, for those who are told.
        webhook_url: Who is told of the end, beside the account's own webhooks.
        webhook_secret: What that message is signed with.
    """

    request_id: str = ""
    is_async: bool = False
    idempotency: IdempotencyKey | None = None
    files_url: str = ""
    webhook_url: str | None = None
    webhook_secret: str | None = None

    @property
    def is_durable(self) -> bool:
        """Nobody has to stay connected for it."""
        return self.is_async or self.idempotency is not None


class SourceNames(msgspec.Struct, frozen=True):
    """The files in which a durable order's `SourcePictures` are kept."""

    image: str
    mask: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return (self.image,) if self.mask is None else (self.image, self.mask)


class KeptOrder(msgspec.Struct, frozen=True):
    """What the job's row keeps of both, for another attempt and for who asks later.

    Attributes:
        order: Without its pictures: they are too large for a row.
        source: Where they are; None where they are not kept.
    """

    order: Order
    files_url: str
    source: SourceNames | None = None

    def encode(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "KeptOrder":
        """From `encode`."""
        return msgspec.json.decode(text, type=cls)
