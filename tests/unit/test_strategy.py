"""The strategy file: every fault is one sentence that names file, line and field."""

import json
from datetime import timedelta
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import CONFIGURATION, DrError
from dr.model.strategy import FailureDomain, Frequency
from dr.model.timeline import parse_duration
from dr.report.readme_table import readme_table
from dr.strategy import default_strategy_text, load_strategy, parse_strategy
from dr.strategy.schema import DURATION_PATTERN, json_schema

DEFAULT = default_strategy_text()
CONFIG_ROW = "  - component: config\n    frequency: on-change\n    retention: 1y\n    rto: 30m\n    rpo: 0"


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def refusal(text: str) -> str:
    with pytest.raises(DrError) as caught:
        parse_strategy("strategy.yaml", text.encode())
    assert caught.value.kind is CONFIGURATION
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_default_is_the_table_of_the_guide() -> None:
    strategy = load_strategy(None)
    table = [(r.component, r.frequency, r.retention, r.rto, r.rpo) for r in strategy.objectives]
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert table == [
        ("cluster", Frequency.DAILY, 30 * day, 4 * hour, 24 * hour),
        ("appdata", Frequency.REAL_TIME, 90 * day, hour, hour / 4),
        ("config", Frequency.ON_CHANGE, 365 * day, hour / 2, timedelta(0)),
        ("audit", Frequency.REAL_TIME, 7 * 365 * day, 24 * hour, timedelta(0)),
    ]
    assert all(row.domains == tuple(FailureDomain) for row in strategy.objectives)


def test_the_default_names_its_sources_with_validated_options() -> None:
    cluster, database, objects, entries = load_strategy(None).sources()
    assert str(cluster.id) == "cluster/velero/energent-production"
    assert cluster.options["namespaces"] == ["energent-ai"]
    assert cluster.options["namespaceSelector"] == {"energent.io/tenant": "true"}
    assert str(database.id) == "appdata/firestore/energent-metadata-production"
    assert database.options["project"] == database.place.project
    assert database.options["location"] == database.place.location == "us-central1"
    assert str(objects.id) == "config/kubernetes/energent-production"
    assert objects.options["namespaceSelector"] == cluster.options["namespaceSelector"]
    assert "secrets" in objects.options["kinds"]
    assert str(entries.id) == "audit/pubsub/energent-security-sink"
    assert (entries.options["project"], entries.options["packEvery"]) == (entries.place.project, "1d")


def test_the_readme_table_is_the_strategy() -> None:
    assert readme_table(load_strategy(None)).splitlines()[2:] == [
        "| `cluster` | daily | 30 d | &lt; 4 h | &lt; 24 h |",
        "| `appdata` | real time | 90 d | &lt; 1 h | &lt; 15 min |",
        "| `config` | on change | 1 y | &lt; 30 min | 0 |",
        "| `audit` | real time | 7 y | &lt; 24 h | 0 |",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("    rpo: 15m", "    rpo: 15x", "rpo: 15x", "objectives[1].rpo: '15x' is not a duration; write for example 15m"),
        ("    rpo: 15m", "    rpo: 15", "rpo: 15", "objectives[1].rpo: 15 has no unit"),
        ("    rpo: 15m", "    rpo: true", "rpo: true", "objectives[1].rpo: True is not a duration"),
        ("    rpo: 15m", "    rpo: -15m", "rpo: -15m", "objectives[1].rpo: '-15m' is not a duration"),
        ("    rpo: 15m", "    rpo: 90d", "rpo: 90d", "objectives[1].rpo: 90d is not shorter than the retention 90d"),
        ("    rpo: 15m\n", "", "component: appdata", "objectives[1].rpo: is missing"),
        ("    rto: 4h", "    rto: 0", "rto: 0", "objectives[0].rto: must be longer than 0"),
        ("    rpo: 24h", "    rpo: 0", "rpo: 0", "objectives[0].rpo: 0 cannot be promised by a daily capture"),
        ("    retention: 30d", "    retention: 23h", "", "objectives[0].rpo: 1d is not shorter than the retention 23h"),
        ("margin: 0.2", "margin: 1", "margin: 1", "margin: should be less than 1"),
        ("margin: 0.2", "margin: -0.1", "margin: -0.1", "margin: should be greater than or equal to 0"),
        ("margin: 0.2", "margni: 0.2", "margni: 0.2", "margni: is not a known key"),
        ("margin: 0.2", "prices: {reads: 1}", "prices:", "prices: 'reads' is not a price; known:"),
        ("kind: Strategy", "kind: Table", "kind: Table", "kind: should be 'Strategy'"),
        ("kind: firestore", "kind: firestor", "- kind: firestor", "kind must be one of 'velero', 'firestore'"),
        ("kind: firestore", "kind: velero", "  database:", "objectives[1].sources[0].options.database: is not a known key"),
        ("          database: energent", "          databse: energent", "databse", "options.databse: is not a known key"),
        ('          energent.io/tenant: "true"', "", "namespaceSelector:", "namespaceSelector: must be a mapping of keys"),
        ('energent.io/tenant: "true"', "energent.io/tenant: true", "tenant: true", "must be text (quote it)"),
        ("  - component: audit", f"{CONFIG_ROW}\n  - component: audit", "", "objectives[3].component: config has a row already"),
        ("component: audit", "component: audits", "component: audits", "objectives[3].component: should be 'cluster'"),
        ("    rpo: 24h", "    rpo: 24h\n    domains: [logical, logical]", "domains:", "logical is listed twice"),
        ("    rpo: 24h", "    rpo: 24h\n    domains: []", "domains:", "objectives[0].domains"),
        ("    rpo: 24h", "    rpo: 24h\n    rpo: 23h", "rpo: 23h", "'rpo' is written twice, first on line"),
        ("    rpo: 24h", "    rpo: [24h", "", "expected"),
        ("          namespaces: [energent-ai]", "          namespaces: [a, a]", "[a, a]", "'a' is listed twice"),
    ],
)  # fmt: skip
def test_faults_name_file_line_and_field(old: str, new: str, line: str, said: str) -> None:
    assert DEFAULT.count(old) >= 1
    text = DEFAULT.replace(old, new, 1)
    message = refusal(text)
    assert said in message
    if line:
        assert message.startswith(f"strategy.yaml:{line_of(text, line)}: "), message


def test_a_source_twice_is_refused_also_under_another_name() -> None:
    source = DEFAULT[DEFAULT.index("      - kind: firestore") : DEFAULT.index("  # configuration")].rstrip() + "\n"
    message = refusal(DEFAULT.replace(source, source + source.replace("name: energent", "name: other", 1)))
    assert "objectives[1].sources[1].name: is a source already, objectives[1].sources[0]" in message


def test_a_source_in_the_wrong_row_is_refused() -> None:
    swapped = DEFAULT.replace("component: cluster", "component: X").replace("component: appdata", "component: cluster")
    assert "belongs to the row cluster, not to appdata" in refusal(
        swapped.replace("component: X", "component: appdata")
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "strategy.yaml:1: the file is empty"),
        (b"- a", "strategy.yaml:1: must be a mapping"),
        (b"a: \xff", "strategy.yaml:1: not UTF-8"),
        (b"a: &x [1]\nb: *x", "anchors and aliases"),
        (b"a: 1\n---\nb: 1", "strategy.yaml:2: "),
        (b"a: !!python/object:os.system x", "strategy.yaml:1: "),
        (b"[a]: 1", "a key must be plain text"),
        (b"a: \x00", "strategy.yaml"),
    ],
)
def test_odd_files_are_refused_in_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(DrError) as caught:
        parse_strategy("strategy.yaml", content)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DrError, match=r"absent\.yaml: cannot be read: No such file"):
        load_strategy(tmp_path / "absent.yaml")


@given(st.text(max_size=60), st.integers(0, 2000))
def test_any_damage_gives_a_strategy_or_one_sentence(junk: str, position: int) -> None:
    content = (DEFAULT[:position] + junk + DEFAULT[position:]).encode("utf-8", "surrogatepass")
    assert said_of(content) is None or "\n" not in str(said_of(content))


def said_of(content: bytes) -> str | None:
    """The refusal of `content`, None if it is accepted; any other exception escapes."""
    try:
        parse_strategy("s.yaml", content)
    except DrError as error:
        return error.message
    return None


def test_the_shipped_schema_is_generated_from_the_models() -> None:
    shipped = json.loads(resources.files("dr").joinpath("schemas/strategy.json").read_text())
    assert shipped == json_schema(), "write it anew from dr.strategy.schema.json_schema()"


def test_the_schema_accepts_the_default_and_refuses_a_bad_duration() -> None:
    document = yaml.safe_load(DEFAULT)
    jsonschema.validate(document, json_schema())
    document["objectives"][1]["rpo"] = "15x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())


@given(st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: len(text) < 12 and text.isascii()))
def test_what_the_schema_calls_a_duration_can_be_read(text: str) -> None:
    parse_duration(text)
