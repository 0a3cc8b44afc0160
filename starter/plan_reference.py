"""The reference of the plan file, written from the models themselves: `python -m starter.plan_reference`.

It prints Markdown; `docs/plan-reference.md` is that text, and a test holds them equal.
"""

import sys
from typing import Any

from rollout.plan import RolloutPlan
from rollout.quantity import DURATION_PATTERN, SHARE_PATTERN
from starter.plan_problems import PATTERNS_IN_WORDS
from starter.yaml_document import MAX_ALIASES, MAX_BYTES, MAX_DEPTH

Schema = dict[str, Any]

INTRODUCTION = f"""\
# Plan reference

<!-- Written by `python -m starter.plan_reference`. Change the models, then write it anew. -->

A plan says what is rolled out, to whom, for how long, and under which gates. It is a YAML 1.2 file: `off` and `yes` are
text. Unknown and duplicate keys are refused, and so are tags and directives; at most {MAX_BYTES // 1024} kB,
{MAX_DEPTH} levels and {MAX_ALIASES} aliases are read. `rollout plan validate PLAN` names every error at once with file,
line, field, value and what is allowed. What no plan can mean is refused too, such as an audience of nobody or a metric
type `-3%`, but of a file alone: rollouts that run go on with the plan they began with. `rollout plan schema` prints a
JSON Schema for editors.

## Quantities

| written | means |
|---|---|
| duration | a number with its unit: `500ms`, `90s`, `15m`, `48h`, `7d`, or several: `1h 30m` |
| share | a number with its percent sign: `10%`, `99.5%` |
| limit | a share, a time such as `100ms`, or a plain number; the gate's statistic decides which fits |
| exposure | `off`, the name of an audience, a percentage of users such as `10%`, or `full` |

A bare number is refused wherever its unit would be a guess.
"""

STATISTICS = """\
## Statistics

| `statistic` | taken from | limits are |
|---|---|---|
| `bad_share`, `good_share` | a count with `bad` | shares |
| `p50`, `p95`, `p99`, `mean` | a distribution | times or numbers in the metric's own unit; for `mean` also shares |
| `level` | a level | numbers or shares |
"""

# The heading of each part, and what a link to it is called.
TITLES = {
    "RolloutPlan": ("The plan", "plan"),
    "Service": ("A service", "service"),
    "AudienceSpec": ("An audience", "audience"),
    "Metric": ("A metric", "metric"),
    "BadLabel": ("What is bad in a count", "bad"),
    "GroupsByLabel": ("Groups by label", "by label"),
    "GroupsByCohort": ("Groups by cohort", "by cohort"),
    "GroupsByRevision": ("Groups by revision", "by revision"),
    "ThresholdGate": ("Gate: threshold", "threshold"),
    "VersusControlGate": ("Gate: versus_control", "versus_control"),
    "VersusBaselineGate": ("Gate: versus_baseline", "versus_baseline"),
    "ZeroToleranceGate": ("Gate: zero_tolerance", "zero_tolerance"),
    "AbsenceGate": ("Gate: absence", "absence"),
    "ProbeGate": ("Gate: probe", "probe"),
    "SwitchOff": ("Flags turned off alone", "switch_off"),
    "Stage": ("A stage", "stage"),
    "Accelerate": ("An early end of a stage", "accelerate"),
    "Checks": ("Checks of a stage", "checks"),
    "HttpCheck": ("Check: http", "http"),
    "RedisCheck": ("Check: redis", "redis"),
    "MonitoringCheck": ("Check: monitoring", "monitoring"),
    "SecretCheck": ("Check: secret", "secret"),
    "AttestCheck": ("Check: attest", "attest"),
    "LoadTestCheck": ("Check: load_test", "load_test"),
    "Windows": ("Windows", "windows"),
    "Freeze": ("A freeze", "freeze"),
    "Deadman": ("A dead-man", "dead-man"),
    "Baseline": ("Baseline", "baseline"),
    "Notifications": ("Notifications", "notifications"),
}
# Written as one value, not as a mapping of fields.
QUANTITIES = {"Limit": "limit"}


def reference() -> str:
    """The whole document."""
    schema = RolloutPlan.model_json_schema()
    parts = {"RolloutPlan": schema, **schema["$defs"]}
    unnamed = set(parts) - set(TITLES) - set(QUANTITIES)
    if unnamed:
        raise LookupError(f"the reference has no heading for: {', '.join(sorted(unnamed))}")
    sections = [_section(title, parts[name]) for name, (title, _) in TITLES.items()]
    return "\n".join([INTRODUCTION, *sections, STATISTICS])


def _section(title: str, schema: Schema) -> str:
    description = " ".join(schema["description"].split())
    properties: dict[str, Schema] = schema["properties"]
    required = set(schema.get("required", ()))
    # What kind of thing it is, is read first, wherever the model has it; a choice of kinds needs it to be written.
    names = sorted(properties, key=lambda name: "const" not in properties[name])
    required |= {name for name in names if "const" in properties[name]}
    rows = [_row(name, properties[name], required=name in required) for name in names]
    return "\n".join([f"## {title}", "", description, "", "| field | value | meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, schema: Schema, *, required: bool) -> str:
    notes = []
    if description := schema.get("description"):
        notes.append(description)
    if not required and (default := _default(schema)):
        notes.append(f"default: {default}")
    value = _value(schema) if required else f"{_value(schema)} (optional)"
    return f"| `{name}` | {value} | {'; '.join(notes)} |"


def _default(schema: Schema) -> str:
    match schema.get("default"):
        case bool() as default:
            return f"`{str(default).lower()}`"
        case str() as default if default:
            return f"`{default}`"
        case _:
            return ""


def _value(schema: Schema) -> str:
    """What is written, in words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{option}`" for option in schema["enum"])
    if "$ref" in schema:
        return _named(schema["$ref"])
    if "oneOf" in schema:
        return " or ".join(_value(option) for option in schema["oneOf"])
    if "anyOf" in schema:
        return _either(schema["anyOf"])
    return _typed(schema)


def _typed(schema: Schema) -> str:
    match schema["type"]:
        case "array":
            return f"a list: {_value(schema['items'])}"
        case "object":
            return f"by name: {_value(schema['additionalProperties'])}"
        case "string" if schema.get("format") == "date":
            return "day"
        case "string":
            return _text(schema)
        case "integer":
            return f"a whole number from {schema['minimum']}"
        case "boolean":
            return "`true` or `false`"
        case other:
            raise LookupError(f"the reference has no words for a value of type {other}")


def _either(options: list[Schema]) -> str:
    # An exposure is the one value that is written either for all flags or flag by flag.
    if any(option.get("examples", [None])[0] == "off" for option in options):
        return "exposure, or a mapping of flags to exposures"
    return " or ".join(dict.fromkeys(_value(option) for option in options if option.get("type") != "null"))


def _text(schema: Schema) -> str:
    match schema.get("pattern"):
        case pattern if pattern == DURATION_PATTERN:
            return "duration"
        case pattern if pattern == SHARE_PATTERN:
            return "share"
        case None:
            return "text"
        case pattern:
            return PATTERNS_IN_WORDS[pattern]


def _named(reference: str) -> str:
    name = reference.rpartition("/")[2]
    if name in QUANTITIES:
        return QUANTITIES[name]
    title, called = TITLES[name]
    return f"[{called}](#{_anchor(title)})"


def _anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " _-")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(reference())
