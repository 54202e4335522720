"""A report's document as PDF, drawn with static charts. The same document gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import reportlab
from reportlab.graphics.shapes import Circle, Drawing, Line, PolyLine, Rect, String
from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

#: the same colours as the pages, in print
INK, QUIET, LINE, GOOD, BAD = (colors.HexColor(one) for one in ("#1b2430", "#5b6675", "#d5dbe3", "#177245", "#b42332"))
_WIDTH = landscape(A4)[0] - 30 * mm
MOST_ROWS = 40
#: where Linux systems keep a font with more letters than the one reportlab brings (Polish, Czech, Greek, Cyrillic)
_FONT_FOLDERS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu"))


def _fonts() -> tuple[str, str]:
    """Names of the plain and the bold font."""
    own = Path(reportlab.__file__).parent / "fonts"
    for folder, plain, bold in (
        *((folder, "DejaVuSans.ttf", "DejaVuSans-Bold.ttf") for folder in _FONT_FOLDERS),
        (own, "Vera.ttf", "VeraBd.ttf"),
    ):
        try:
            pdfmetrics.registerFont(TTFont("Tower", str(folder / plain)))
            pdfmetrics.registerFont(TTFont("TowerBold", str(folder / bold)))
        except (TTFError, OSError):
            continue
        return "Tower", "TowerBold"
    return "Helvetica", "Helvetica-Bold"


def pdf_bytes(document: Mapping[str, Any]) -> bytes:
    into = BytesIO()
    plain, bold = _fonts()
    page = SimpleDocTemplate(
        into,
        pagesize=landscape(A4),
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=14 * mm,
        bottomMargin=14 * mm,
        title=document["title"],
        author="Control tower",
        invariant=1,
    )
    style = ParagraphStyle("text", fontName=plain, fontSize=9, leading=12, textColor=INK)
    head = ParagraphStyle("head", fontName=bold, fontSize=18, leading=22, textColor=INK)
    lead = ParagraphStyle("lead", parent=style, fontSize=12, leading=16)
    sub = ParagraphStyle("sub", fontName=bold, fontSize=11, leading=14, spaceBefore=10, spaceAfter=4, textColor=INK)
    note = ParagraphStyle("note", parent=style, fontSize=7.5, leading=10, textColor=QUIET)
    told = f"As of {document['as_of'][:16].replace('T', ' ')} UTC. Promises by the day they were due, counted in {document['zone']}."
    story: list[Flowable] = [
        Paragraph(escape(document["title"]), head),
        Paragraph(escape(document["sentence"]), lead),
        Paragraph(escape(told), note),
        Spacer(1, 8),
        _tiles(document["tiles"], style, note),
    ]
    for chart in document["charts"]:
        if sum(value is not None for value in chart["values"]) > 1:
            drawn = _ranked(chart, plain) if chart["key"] == "partners" else _line(chart, plain)
            story.append(KeepTogether([Paragraph(escape(chart["title"]), sub), drawn]))
    for table in document["tables"]:
        if table["rows"]:
            story += [Paragraph(escape(table["title"]), sub), _table(table, style, note, plain, bold)]
            more = len(table["rows"]) - MOST_ROWS
            words = " ".join(
                one for one in (table["note"], f"{more} more in the spreadsheet." if more > 0 else "") if one
            )
            if words:
                story.append(Paragraph(escape(words), note))

    def foot(canvas: Any, _: Any) -> None:
        canvas.setFont(plain, 7.5)
        canvas.setFillColor(QUIET)
        canvas.drawString(15 * mm, 8 * mm, document["title"])
        canvas.drawRightString(landscape(A4)[0] - 15 * mm, 8 * mm, f"Page {canvas.getPageNumber()}")

    page.build(story, onFirstPage=foot, onLaterPages=foot)
    return into.getvalue()


def _tiles(tiles: Sequence[Mapping[str, str]], style: ParagraphStyle, note: ParagraphStyle) -> Table:
    big = ParagraphStyle("big", parent=style, fontSize=13, leading=17)
    cells: list[Any] = [
        [
            Paragraph(escape(tile["label"]), note),
            Paragraph(escape(tile["value"]), big),
            Paragraph(escape(tile["note"]), note),
        ]
        for tile in tiles
    ]
    per_row = 6
    rows = [cells[at : at + per_row] for at in range(0, len(cells), per_row)] or [[""]]
    rows = [row + [""] * (per_row - len(row)) for row in rows]
    made = Table(rows, colWidths=[_WIDTH / per_row] * per_row)
    made.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BOX", (0, 0), (-1, -1), 0.5, LINE), ("INNERGRID", (0, 0), (-1, -1), 0.5, LINE)]))  # fmt: skip
    return made


def shown(value: Any, unit: str) -> str:
    """A value of a table in words."""
    if value is None:
        return "–"
    if unit == "percent":
        return f"{value:.1f} %"
    if unit == "seconds":
        hours, rest = divmod(int(value), 3600)
        return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"
    if unit == "money":
        return f"{float(value):,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(table: Mapping[str, Any], style: ParagraphStyle, note: ParagraphStyle, plain: str, bold: str) -> Table:
    columns = table["columns"]
    right = ParagraphStyle("right", parent=note, alignment=TA_RIGHT)
    heads = [Paragraph(escape(column["label"]), note if column["unit"] == "text" else right) for column in columns]
    rows: list[list[Any]] = [heads]
    for row in table["rows"][:MOST_ROWS]:
        rows.append(
            [
                Paragraph(escape(str(value))[:400], style)
                if column["unit"] == "text" and value
                else shown(value, column["unit"])
                for value, column in zip(row, columns, strict=True)
            ]
        )
    texts = sum(column["unit"] == "text" for column in columns) or 1
    number = min(22 * mm, _WIDTH / (len(columns) + 1))
    wide = (_WIDTH - number * (len(columns) - texts)) / texts
    made = Table(rows, colWidths=[wide if column["unit"] == "text" else number for column in columns], repeatRows=1)
    made.setStyle(
        TableStyle(
            [
                ("FONTNAME", (0, 0), (-1, -1), plain),
                ("FONTSIZE", (0, 0), (-1, -1), 8.5),
                ("TEXTCOLOR", (0, 0), (-1, -1), INK),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
                *(
                    ("ALIGN", (at, 0), (at, -1), "RIGHT")
                    for at, column in enumerate(columns)
                    if column["unit"] != "text"
                ),
            ]
        )
    )
    return made


def _scale(chart: Mapping[str, Any]) -> tuple[float, float]:
    known = [value for value in (*chart["values"], chart["target"]) if value is not None]
    low = min(known)
    return max(0.0, low - max((100 - low) * 0.2, 0.5)), 100.0


def _line(chart: Mapping[str, Any], font: str) -> Drawing:
    """Share kept along time: points below target are red squares, the others green dots; the target is dashed."""
    height, left, bottom = 120.0, 36.0, 18.0
    drawing = Drawing(_WIDTH, height + bottom)
    low, high = _scale(chart)
    step = (_WIDTH - left - 10) / max(len(chart["values"]) - 1, 1)

    def y(value: float) -> float:
        return bottom + (value - low) / (high - low) * (height - 12)

    for part in range(4):
        value = low + (high - low) * part / 3
        drawing.add(Line(left, y(value), _WIDTH, y(value), strokeColor=LINE, strokeWidth=0.5))
        drawing.add(
            String(
                left - 4, y(value) - 3, f"{value:.1f} %", fontName=font, fontSize=7, fillColor=QUIET, textAnchor="end"
            )
        )
    target = chart["target"]
    if target is not None:
        drawing.add(Line(left, y(target), _WIDTH, y(target), strokeColor=QUIET, strokeDashArray=[3, 3]))
    points = [(left + at * step, value) for at, value in enumerate(chart["values"]) if value is not None]
    drawing.add(PolyLine([one for x, value in points for one in (x, y(value))], strokeColor=QUIET, strokeWidth=1))
    for x, value in points:
        if target is not None and value < target:
            drawing.add(Rect(x - 2.5, y(value) - 2.5, 5, 5, fillColor=BAD, strokeColor=BAD))
        else:
            drawing.add(Circle(x, y(value), 2.5, fillColor=GOOD, strokeColor=GOOD))
    every = max(1, len(chart["labels"]) // 13)
    for at, label in enumerate(chart["labels"]):
        if at % every == 0:
            drawing.add(
                String(left + at * step, 4, label, fontName=font, fontSize=7, fillColor=QUIET, textAnchor="middle")
            )
    return drawing


def _ranked(chart: Mapping[str, Any], font: str) -> Drawing:
    """One bar for each, the worst on top."""
    pairs = [(label, value) for label, value in zip(chart["labels"], chart["values"], strict=True) if value is not None]
    row, left = 14.0, 130.0
    drawing = Drawing(_WIDTH, row * len(pairs) + 6)
    reach = _WIDTH - left - 60
    target = chart["target"]
    for at, (label, value) in enumerate(pairs):
        y = row * (len(pairs) - at - 1) + 4
        below = target is not None and value < target
        drawing.add(String(left - 6, y + 2, label[:28], fontName=font, fontSize=8, fillColor=INK, textAnchor="end"))
        drawing.add(
            Rect(left, y, max(reach * value / 100, 0.5), row - 5, fillColor=BAD if below else GOOD, strokeColor=None)
        )
        drawing.add(
            String(left + reach * value / 100 + 4, y + 2, f"{value:.1f} %", fontName=font, fontSize=8, fillColor=INK)
        )
    if target is not None:
        x = left + reach * target / 100
        drawing.add(Line(x, 0, x, row * len(pairs) + 4, strokeColor=QUIET, strokeDashArray=[3, 3]))
    return drawing
