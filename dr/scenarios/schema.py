"""What a scenario file may say, field by field. The shipped JSON Schema is generated from these models."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dr.model.drills import Ask, Choice
from dr.model.strategy import FailureDomain
from dr.strategy.schema import Duration, Name, Text

Component = Literal["cluster", "appdata", "config", "audit"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Scalar = str | bool | int | float


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class CommandExpect(_Entry):
    """What a command must come to."""

    exit: int = 0
    output: Pattern = ""
    """Found somewhere in what it printed."""


class CommandAsk(_Entry):
    """A program, started without a shell. It finds the copy in its environment: DR_DATABASE, DR_NAMESPACES, DR_ARCHIVE..."""

    run: list[Text] = Field(min_length=1)
    expect: CommandExpect = CommandExpect()


class HttpExpect(_Entry):
    """What an answer must be."""

    status: Annotated[int, Field(ge=100, le=599)] = 200
    body: Pattern = ""


class HttpAsk(_Entry):
    """One GET. `{database}`, `{prefix}`, `{instant}` and `{namespace:NAME}` stand for those of the copy."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    expect: HttpExpect = HttpExpect()


class Condition(_Entry):
    """One condition on a field of a document; all of them must hold."""

    field: Text
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not-in"] = "=="
    value: Scalar | list[Scalar]
    """A list for `in` and `not-in`."""

    @model_validator(mode="after")
    def _several(self) -> Condition:
        if isinstance(self.value, list) != (self.op in ("in", "not-in")):
            raise ValueError("a list goes with in and not-in, and only with them")
        return self


class CountExpect(_Entry):
    """How many documents must be found."""

    count: Annotated[int, Field(ge=0)] | None = None
    at_least: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="atLeast")
    at_most: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="atMost")

    @model_validator(mode="after")
    def _something(self) -> CountExpect:
        if self.count is None and self.at_least is None and self.at_most is None:
            raise ValueError("expect must say count, atLeast or atMost")
        return self


class FirestoreAsk(_Entry):
    """Documents of the restored database, counted."""

    collection: Text
    group: bool = False
    """All collections of that id, at any depth."""
    where: list[Condition] = Field(default_factory=list)
    expect: CountExpect


class ObjectExpect(_Entry):
    """What must be true of an object: that it is there, one of its conditions, or the text of one of its fields."""

    exists: bool = True
    condition: str = ""
    """`Available`: its status must be True."""
    field: str = ""
    """`spec.replicas`."""
    equals: Scalar | None = None

    @model_validator(mode="after")
    def _whole(self) -> ObjectExpect:
        if bool(self.field) != (self.equals is not None):
            raise ValueError("field and equals go together")
        return self


class KubernetesAsk(_Entry):
    """One object of the restored copy, named as it is called at the source."""

    resource: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z0-9.-]+)?$")]
    """`deployments.apps`."""
    namespace: str = ""
    name: Text
    expect: ObjectExpect = ObjectExpect()


class CheckEntry(_Entry):
    """A check of the scenario's own, made on the restored copy; a failing one fails its row."""

    name: Text
    component: Component
    domains: list[FailureDomain] = Field(default_factory=list)
    timeout: Duration = Field(default="1m", validate_default=True)
    command: CommandAsk | None = None
    http: HttpAsk | None = None
    firestore: FirestoreAsk | None = None
    kubernetes: KubernetesAsk | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> CheckEntry:
        if len(self.kinds) != 1:
            raise ValueError(f"a check is one of {', '.join(Ask)}")
        if self.kinds[0] is Ask.FIRESTORE and self.component != "appdata":
            raise ValueError("a firestore check looks at the row appdata")
        if self.kinds[0] is Ask.KUBERNETES and self.component not in ("cluster", "config"):
            raise ValueError("a kubernetes check looks at the row cluster or config")
        return self

    @property
    def kinds(self) -> list[Ask]:
        return [kind for kind in Ask if getattr(self, kind) is not None]


class RowEntry(_Entry):
    """A row of the strategy table, and the losses that it is drilled for."""

    component: Component
    domains: list[FailureDomain] = Field(min_length=1)


class Metadata(_Entry):
    name: Name


class ScenarioFile(_Entry):
    """A drill's scenario."""

    api_version: Literal["dr/v1"] = Field(default="dr/v1", alias="apiVersion")
    kind: Literal["Scenario"]
    metadata: Metadata
    why: str = ""
    rows: list[RowEntry] = Field(min_length=1)
    points: Choice = Choice.REQUESTED
    """`requested`: of the instant asked for; `random`: of an instant by lot within the retention; `clean`: the newest whose
    copies pass the checks."""
    seed: str = ""
    """Of the lot; without one it is the drill's id."""
    disaster: str = ""
    """What strikes in the lab."""
    every: Literal["", "night", "quarter"] = ""
    """How often CronJobs run it."""
    checks: list[CheckEntry] = Field(default_factory=list)


def json_schema() -> dict[str, object]:
    """The JSON Schema of a scenario, as shipped in `dr/schemas/scenario.json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ScenarioFile.model_json_schema()}
