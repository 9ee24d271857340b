"""What an edited picture says of its making, as a reader of XMP finds it."""

from __future__ import annotations

from xml.etree import ElementTree

from e2gan.editing.provenance import Provenance

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
E2GAN = "{urn:e2gan:edit#}"
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def described(packet: bytes) -> dict[str, str | list[str]]:
    """Property → value, or values, of an XMP packet."""
    description = ElementTree.fromstring(packet.decode()).find(f".//{RDF}Description")
    assert description is not None
    found: dict[str, str | list[str]] = dict(description.attrib)
    for child in description:
        found[child.tag] = [item.text or "" for item in child.iter(f"{RDF}li")]
    return found


def test_a_packet_tells_program_effect_strength_and_weights() -> None:
    adapters = [("a" * 64, 0.75), ("b" * 64, 0.25)]
    made = Provenance(version="1.2", effect='"fog" & <snow>\n', strength=0.8, base="c" * 64, adapters=adapters)
    found = described(made.xmp())
    assert found["{http://ns.adobe.com/xap/1.0/}CreatorTool"] == "e2gan 1.2"
    assert (found[EXT + "AISystemUsed"], found[EXT + "AISystemVersionUsed"]) == ("e2gan", "1.2")
    assert found[EXT + "DigitalSourceType"] == TYPES + "compositeWithTrainedAlgorithmicMedia"
    assert found[E2GAN + "Effect"] == '"fog" & <snow> '
    assert found[E2GAN + "Strength"] == "0.8"
    assert found[E2GAN + "BaseSHA256"] == "c" * 64
    assert found[E2GAN + "AdapterSHA256"] == ["a" * 64, "b" * 64]
    assert found[E2GAN + "AdapterWeight"] == ["0.75", "0.25"]
    assert E2GAN + "ModelSHA256" not in found
    assert made.xmp() == made.xmp()


def test_a_colour_table_is_no_generative_model_and_a_photo_no_edit() -> None:
    table = described(Provenance(version="1", effect="warm", strength=1.0, model="d" * 64, table=True).xmp())
    assert table[EXT + "DigitalSourceType"] == TYPES + "algorithmicallyEnhanced"
    assert table[E2GAN + "ModelSHA256"] == "d" * 64
    assert EXT + "DigitalSourceType" not in described(Provenance(version="1", effect="x", strength=0.0).xmp())
