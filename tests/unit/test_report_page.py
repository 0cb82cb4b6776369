"""A report's page stands alone, shows figures as figures, and lets no text become markup."""

from __future__ import annotations

from quicksilver.drawing import MODEL, drawing
from quicksilver.report_page import Badge, PageTable, Picture, Section, figure, render_page
from tests.unit.test_model_card import Tags


def page() -> str:
    with drawing(4, 3) as (axes, done):
        axes.plot([0, 1], [0, 1], color=MODEL)
        uri = done("A line")
    return render_page(
        "Shadow <card-fraud@14>",
        "It agrees & is slow.",
        [
            Section(
                "Flips",
                ("One paragraph.", "<b>Another.</b>"),
                facts=(("flips", 1_234), ("share", 0.01234)),
                pictures=(Picture(uri, "A line", "A caption"),),
                tables=(
                    PageTable(
                        ("segment", "share"), (("channel = online", 0.25), ("total", None)), "By segment"
                    ),
                ),
            ),
            Section("Nothing more"),
        ],
        badge=Badge("warn", "look"),
    )


def test_a_page_needs_nothing_else_and_closes_what_it_opens() -> None:
    tags = Tags(page())
    assert tags.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.tags}
    (image,) = [attributes for tag, attributes in tags.tags if tag == "img"]
    assert (image["src"] or "").startswith("data:image/svg+xml;base64,")
    assert image["alt"] == "A line"


def test_what_is_given_is_shown_as_text() -> None:
    text = page()
    for words in (
        "Shadow &lt;card-fraud@14&gt;",
        "It agrees &amp; is slow.",
        "<p>&lt;b&gt;Another.&lt;/b&gt;</p>",
        '<span class="badge warn">look</span>',
        "<b>1,234</b><span>flips</span>",
        "<figcaption>A caption</figcaption>",
        "<h3>By segment</h3>",
        '<th class="n">share</th>',
        '<td>channel = online</td><td class="n">0.25</td>',
        '<td>total</td><td class="n"></td>',
        "<h2>Nothing more</h2>",
    ):
        assert words in text


def test_the_same_report_has_the_same_bytes() -> None:
    assert page() == page()


def test_figures_keep_what_matters() -> None:
    cells = (None, "x", 12_345, 12_345.6, 0.123456, 0.000123456, 0.0)
    assert [figure(cell) for cell in cells] == ["", "x", "12,345", "12,346", "0.1235", "0.00012", "0"]
