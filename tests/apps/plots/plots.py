"""Charts of measurements, drawn for each visitor and kept by browsers as long as the data stay."""

from __future__ import annotations

import csv
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

from flask import Flask, Response, abort, request, send_file
from PIL import Image, ImageDraw, ImageFont

app = Flask(__name__)
DATA = Path(app.root_path) / "data"


def rows(path: Path) -> list[tuple[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["day"], float(row["value"])) for row in csv.DictReader(file)]


def bars(values: list[tuple[str, float]], width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    step = width / len(values)
    highest = max(value for _, value in values)
    for place, (day, value) in enumerate(values):
        top = height - value / highest * (height - 20)
        draw.rectangle((place * step + 2, top, (place + 1) * step - 2, height), fill="#336699")
        draw.text((place * step + 2, 4), day, fill="black", font=ImageFont.load_default())
    return image


@app.route("/")
def index() -> str:
    names = sorted(path.stem for path in DATA.glob("*.csv"))
    return "".join(f'<img src="chart/{name}.png" alt="{name}">\n' for name in names)


@app.route("/chart/<name>.<any(png, jpeg, webp):kind>")
def chart(name: str, kind: str) -> Response:
    path = DATA / f"{name}.csv"
    if not path.is_file():
        abort(404)
    width = min(max(request.args.get("width", 320, int), 16), 2000)
    drawn = BytesIO()
    bars(rows(path), width, 200).save(drawn, kind)
    drawn.seek(0)
    response = send_file(drawn, mimetype=f"image/{kind}", etag=False, max_age=600)
    response.last_modified = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    response.cache_control.public = True
    response.direct_passthrough = False
    response.add_etag()
    return response.make_conditional(request)
