import re

from starter.plan_reference import reference
from tests.checkout import CHECKOUT

DOCUMENT = CHECKOUT / "docs" / "plan-reference.md"


def test_the_document_is_what_the_models_say() -> None:
    assert DOCUMENT.read_text() == reference(), (
        "write it anew: python -m starter.plan_reference > docs/plan-reference.md"
    )


def test_every_link_of_the_reference_leads_to_a_heading() -> None:
    headings = re.findall(r"^## (.+)$", reference(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", reference()))
    assert links
    assert links <= anchors


def test_every_field_of_a_plan_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.*) \|$", reference(), re.MULTILINE)
    assert len(rows) > 70
    assert [name for name, value, meaning in rows if not meaning and not value.startswith("`")] == []
