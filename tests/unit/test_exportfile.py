"""The export reader gives every document or an error that names file and offset; never fewer documents in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.components.appdata.entity import decode_document
from dr.components.appdata.exportfile import ExportLayout, read_export, read_output
from dr.components.appdata.leveldb import BLOCK, read_records
from dr.components.appdata.schema import Entity
from dr.errors import DAMAGED, DrError
from tests.unit.export_writer import entity, export, frame

DOCUMENTS = [entity(f"tenants/t-{n}", seq=n) for n in range(7)]
OUTPUT = "x/export/all_namespaces/all_kinds/output-1"


def read_all(files: dict[str, bytes]) -> list[str]:
    return [document.path for document in read_export(lambda name: iter([files[name]]), list(files))]


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(
    st.lists(st.binary(max_size=2000) | st.integers(0, 3 * BLOCK).map(bytes), max_size=20), st.integers(1, 2 * BLOCK)
)
@settings(max_examples=60)
def test_records_come_back_whatever_their_size_and_the_chunks(payloads: list[bytes], size: int) -> None:
    assert [data for _, data in read_records("f", chunked(frame(payloads), size))] == payloads


@pytest.mark.parametrize("left", range(9))
def test_records_that_end_near_the_end_of_a_block(left: int) -> None:
    payloads = [bytes(BLOCK - 7 - left), b"next", b""]
    assert [data for _, data in read_records("f", [frame(payloads)])] == payloads


def test_every_flipped_bit_of_an_output_is_detected() -> None:
    """I7: all bits of all bytes of a small file."""
    good = frame(DOCUMENTS[:2])
    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            with pytest.raises(DrError, match="output-0 at byte"):
                list(read_output("output-0", [bytes(bad)]))


def test_every_cut_is_detected_or_leaves_fewer_documents() -> None:
    good = frame(DOCUMENTS[:3])
    counts, kinds = [], set()
    for end in range(len(good)):
        try:
            counts.append(sum(1 for _ in read_output("o", [good[:end]])))
        except DrError as error:
            kinds.add(error.kind)
    assert kinds == {DAMAGED}
    assert counts == [0, 1, 2], "only cuts between two records decode"


def test_a_cut_between_records_is_caught_by_the_count() -> None:
    files = export(DOCUMENTS)
    assert len(read_all(files)) == 7
    files[OUTPUT] = frame(DOCUMENTS[1::2][:-1])
    with pytest.raises(DrError, match="hold 6 documents, the export counted 7"):
        read_all(files)


def test_files_must_be_exactly_the_listed_ones() -> None:
    missing = export(DOCUMENTS)
    del missing[OUTPUT]
    with pytest.raises(DrError, match="output-1: this output is missing"):
        read_all(missing)
    extra = export(DOCUMENTS) | {OUTPUT.replace("-1", "-2"): b""}
    with pytest.raises(DrError, match="output-2: this output is not listed"):
        read_all(extra)
    stray = export(DOCUMENTS) | {"x/export/readme.txt": b""}
    with pytest.raises(DrError, match=r"readme\.txt is no part"):
        read_all(stray)


def test_swapped_or_trailing_content_is_detected() -> None:
    files = export(DOCUMENTS)
    for tail in (b"\0", b"\0" * 7, b"garbage that is longer than a header", frame([b"x"])):
        with pytest.raises(DrError, match="output-1"):
            read_all(files | {OUTPUT: files[OUTPUT] + tail})


def test_the_overall_metadata_must_bear_the_name_of_its_folder() -> None:
    names = [name.replace("x/export/", "x/other/") for name in export(DOCUMENTS)]
    with pytest.raises(DrError, match="name of its folder"):
        ExportLayout.of(names)


def test_an_unknown_version_is_refused() -> None:
    files = export(DOCUMENTS)
    files["x/export/export.overall_export_metadata"] = frame([b"4"])
    with pytest.raises(DrError, match="version b'4'"):
        read_all(files)


def test_outputs_are_read_in_the_order_of_their_numbers() -> None:
    layout = ExportLayout.of(export(DOCUMENTS, outputs=12))
    assert [name.rpartition("-")[2] for name in layout.outputs] == [str(n) for n in range(12)]


def test_unknown_parts_of_an_entity_are_refused() -> None:
    """A field that the description lacks must not be dropped in silence: at the top, in a property, in a value."""
    good = entity("a/b", x=1)
    assert decode_document(good).fields == {"x": {"integerValue": "1"}}
    with pytest.raises(ValueError, match="does not know"):
        decode_document(good + b"\xa8\x01\x01")
    message = Entity.FromString(good)
    raw = message.raw_property[0].value.SerializeToString()
    message.raw_property[0].value.ParseFromString(raw + b"\x10\x01")
    with pytest.raises(ValueError, match="does not know"):
        decode_document(
            good.replace(b"\x2a\x02" + raw, b"\x2a\x04" + raw + b"\x10\x01").replace(b"\x7a\x09", b"\x7a\x0b")
        )


@pytest.mark.parametrize("meaning", [1, 16, 17, 18, 32, 36, 99])
def test_unknown_meanings_are_refused(meaning: int) -> None:
    message = Entity.FromString(entity("a/b", x=1))
    message.raw_property[0].meaning = meaning
    with pytest.raises(ValueError, match=f"unknown meaning {meaning}"):
        decode_document(message.SerializeToString())


def test_a_field_twice_and_a_split_array_are_refused() -> None:
    twice = Entity.FromString(entity("a/b", x=1))
    twice.raw_property.add(name="x", multiple=False).value.int = 2
    with pytest.raises(ValueError, match="twice"):
        decode_document(twice.SerializeToString())
    split = Entity.FromString(entity("a/b"))
    split.property.add(name="x", multiple=True).value.int = 1
    split.raw_property.add(name="x", multiple=True).value.int = 2
    with pytest.raises(ValueError, match="order is lost"):
        decode_document(split.SerializeToString())


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_arbitrary_bytes_never_decode_by_accident_into_another_error(data: bytes) -> None:
    with pytest.raises(DrError):
        list(read_output("o", [frame([data])]))
