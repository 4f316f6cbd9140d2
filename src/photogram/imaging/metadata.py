"""What a picture file says of itself: that it is made by AI, by which model and from what numbers.

In: the parameters of one picture. Out: an EXIF block, an XMP packet and PNG text; and back from the
first. It knows no time, no request and no machine, so that the same picture gives the same bytes.
"""

import json
from dataclasses import asdict, dataclass
from xml.sax.saxutils import escape

from PIL import ExifTags, Image

from photogram.core.messages import Adapter

SOFTWARE = "AI generated;txt2img;flux"
SOFTWARE_FROM_IMAGE = "AI generated;img2img;flux"
MAKE = "Photogram"
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = _SOURCE_TYPES + "trainedAlgorithmicMedia"
COMPOSITE_SOURCE_TYPE = _SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"

_UTF_16 = b"UNICODE\x00"  # EXIF's name of the encoding that follows
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{tool}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMetadata:
    """What one picture was made from.

    Attributes:
        model: The model's slug.
        steps: Of the whole schedule.
        first_step: Of a picture that began from another one: steps that were left out. Left out of
            the file when None.
        adapters: Left out of the file when there are none.
        prompt: Left out of the file when None.
    """

    model: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    adapters: tuple[Adapter, ...] = ()
    first_step: int | None = None
    prompt: str | None = None

    @property
    def software(self) -> str:
        """The mark that programs know from Black Forest Labs' own code."""
        return SOFTWARE if self.first_step is None else SOFTWARE_FROM_IMAGE

    def to_json(self, *, with_prompt: bool = True) -> str:
        """One line of ASCII: any script is escaped, so that every reader decodes it right."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values["loras"] = [
            {"name": adapter.name, "scale": adapter.scale} for adapter in values.pop("adapters")
        ]
        if not self.adapters:
            del values["loras"]
        if not with_prompt:
            values.pop("prompt", None)
        return json.dumps(values)


def exif(metadata: ImageMetadata) -> bytes:
    """The EXIF block: the mark, the parameters as a description, with the prompt as a comment.

    The comment is UTF-16: a JPEG holds 64 KiB of EXIF, and 10,000 escaped characters may be more.
    """
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = MAKE
    tags[ExifTags.Base.Model] = metadata.model
    tags[ExifTags.Base.Software] = metadata.software
    tags[ExifTags.Base.ImageDescription] = metadata.to_json(with_prompt=False)
    if metadata.prompt is not None:
        comment = metadata.prompt.encode("utf-16-be", errors="surrogatepass")
        tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _UTF_16 + comment
    return tags.tobytes()


def read_exif(tags: Image.Exif) -> ImageMetadata:
    """What `exif` has written.

    Raises:
        ValueError: It was not.
    """
    if tags.get(ExifTags.Base.Make) != MAKE:
        raise ValueError("the file does not say how its picture was made")
    values = json.loads(tags[ExifTags.Base.ImageDescription])
    values["adapters"] = tuple(Adapter(**each) for each in values.pop("loras", []))
    comment = tags.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if comment is not None:
        values["prompt"] = comment.removeprefix(_UTF_16).decode("utf-16-be", "surrogatepass")
    return ImageMetadata(**values)


def xmp(metadata: ImageMetadata) -> bytes:
    """The XMP packet, with IPTC's word for a picture made by a trained model, or from another."""
    source = DIGITAL_SOURCE_TYPE if metadata.first_step is None else COMPOSITE_SOURCE_TYPE
    packet = _XMP.format(tool=escape(f"{MAKE} {metadata.model}"), source=source)
    return packet.encode("utf-8")
