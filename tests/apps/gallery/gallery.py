"""Pictures and films that visitors upload, and what they get of them: pieces, archives, streams."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator

from flask import Flask, Response, flash, redirect, render_template, request, send_from_directory, stream_with_context, url_for
from werkzeug.utils import secure_filename

UPLOAD_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uploads")
ALLOWED_EXTENSIONS = {"png", "jpg", "jpeg", "gif", "mp4", "txt"}

app = Flask(__name__)
app.config["UPLOAD_FOLDER"] = UPLOAD_FOLDER
app.config["MAX_CONTENT_LENGTH"] = 8 * 1000 * 1000
app.secret_key = os.environ.get("SECRET_KEY", "dev")


def allowed_file(filename: str) -> bool:
    return "." in filename and filename.rsplit(".", 1)[1].lower() in ALLOWED_EXTENSIONS


def names() -> list[str]:
    return sorted(os.listdir(UPLOAD_FOLDER)) if os.path.isdir(UPLOAD_FOLDER) else []


@app.route("/", methods=["GET", "POST"])
def index():
    if request.method == "GET":
        return render_template("index.html", names=names())
    files = [file for file in request.files.getlist("file") if file.filename]
    if not files:
        flash("No selected file")
        return redirect(request.url)
    os.makedirs(UPLOAD_FOLDER, exist_ok=True)
    for file in files:
        if not allowed_file(file.filename):
            flash(f"Files such as {file.filename} are not allowed")
            return redirect(request.url)
        file.save(os.path.join(UPLOAD_FOLDER, secure_filename(file.filename)))
    flash(f"Thank you, {request.form.get('from', 'visitor')}")
    return redirect(url_for("index"))


@app.route("/uploads/<path:name>")
def download(name):
    return send_from_directory(app.config["UPLOAD_FOLDER"], name, as_attachment="save" in request.args)


@app.errorhandler(413)
def too_large(error):
    return "At most 8 MB, please.\n", 413


@app.put("/checksum")
def checksum():
    """The digest of a body of any size, which is read in pieces."""
    request.max_content_length = 1000 * 1000 * 1000
    digest = hashlib.sha256()
    size = 0
    while piece := request.stream.read(1 << 16):
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


class Pieces:
    """A file for ``zipfile`` whose content is taken away as it grows."""

    def __init__(self) -> None:
        self._written = b""

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self._written = self._written, b""
        return taken


@app.route("/all.zip")
def archive():
    def generate() -> Iterator[bytes]:
        target = Pieces()
        with zipfile.ZipFile(target, "w") as zipped:
            for name in names():
                with open(os.path.join(UPLOAD_FOLDER, name), "rb") as file, zipped.open(name, "w") as member:
                    while piece := file.read(1 << 18):
                        member.write(piece)
                        yield target.take()
        yield target.take()

    return Response(generate(), mimetype="application/zip", headers={"Content-Disposition": "attachment; filename=all.zip"})


@app.route("/list.csv")
def listing():
    @stream_with_context
    def generate() -> Iterator[str]:
        yield f"name,bytes ({request.args.get('for', 'anybody')})\n"
        for name in names():
            yield f"{name},{os.path.getsize(os.path.join(UPLOAD_FOLDER, name))}\n"

    return Response(generate(), mimetype="text/csv")


@app.route("/events")
def events():
    """What is there, as server-sent events."""

    def generate() -> Iterator[str]:
        for number, name in enumerate(names()):
            yield f"id: {number}\ndata: {name}\n\n"
        yield "event: end\ndata:\n\n"

    return Response(generate(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
