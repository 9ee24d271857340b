"""What an edited picture says of how it was made: an XMP packet, the same for the same edit on any machine and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from e2gan.core.images import MADE_HERE

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"  # IPTC NewsCodes, digital source type
BY_GENERATOR = SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"  # "Edited using Generative AI"
BY_TABLE = SOURCE_TYPES + "algorithmicallyEnhanced"  # "without changing the main content of the media"
NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "e2gan": MADE_HERE,
}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a picture was edited.

    version: of this program. effect: the prompt, or prompts, of what it was edited by. strength: as `edit` was given
    it. base, model: SHA-256 of the weights; adapters: of each adapter's, and its weight in the mixture. table: whether
    it is a colour table.
    """

    version: str
    effect: str
    strength: float
    base: str | None = None
    adapters: Sequence[tuple[str, float]] = ()
    model: str | None = None
    table: bool = False

    def properties(self) -> dict[str, str | list[str]]:
        """The properties of the packet. At strength 0 the picture is the photo itself, and has no source type."""
        found: dict[str, str | list[str]] = {"xmp:CreatorTool": f"e2gan {self.version}"}
        if self.strength:
            found["Iptc4xmpExt:DigitalSourceType"] = BY_TABLE if self.table else BY_GENERATOR
        found |= {"Iptc4xmpExt:AISystemUsed": "e2gan", "Iptc4xmpExt:AISystemVersionUsed": self.version}
        found |= {"e2gan:Effect": self.effect, "e2gan:Strength": f"{self.strength:g}"}
        if self.model is not None:
            found["e2gan:ModelSHA256"] = self.model
        if self.base is not None:
            found["e2gan:BaseSHA256"] = self.base
        if self.adapters:
            found["e2gan:AdapterSHA256"] = [sha256 for sha256, _ in self.adapters]
        if len(self.adapters) > 1:
            found["e2gan:AdapterWeight"] = [f"{weight:g}" for _, weight in self.adapters]
        return found

    def xmp(self) -> bytes:
        """The packet, UTF-8."""
        return _packet(self.properties())


def _packet(properties: Mapping[str, str | list[str]]) -> bytes:
    single = {name: value for name, value in properties.items() if isinstance(value, str)}
    spaces = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    lines = [f"   {name}={quoteattr(_printable(value))}" for name, value in single.items()]
    lists = [
        f"   <{name}><rdf:Seq>{''.join(f'<rdf:li>{escape(_printable(item))}</rdf:li>' for item in items)}"
        f"</rdf:Seq></{name}>"
        for name, items in properties.items()
        if not isinstance(items, str)
    ]
    text = "\n".join(
        [
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
            ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
            f'  <rdf:Description rdf:about=""{spaces}',
            "\n".join(lines) + ">",
            *lists,
            "  </rdf:Description>",
            " </rdf:RDF>",
            "</x:xmpmeta>",
            '<?xpacket end="r"?>',
        ]
    )
    return text.encode()


def _printable(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)
