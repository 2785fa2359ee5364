"""Format 1 of the nouns that stand inside many records."""

from __future__ import annotations

from dr.model.evidence import Verdict
from dr.model.ids import Slot, SourceId
from dr.model.points import Check
from dr.model.strategy import FailureDomain
from dr.record.shapes import boolean, enumeration, parsed, record, text

source_id = parsed(SourceId.parse)
slot = parsed(Slot.parse)
domain = enumeration(FailureDomain)
verdict = enumeration(Verdict)
check = record(Check, name=text, passed=boolean, detail=text)
