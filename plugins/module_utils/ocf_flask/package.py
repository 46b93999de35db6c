"""The site's own code as a package that a release's virtualenv finds.

What an editable installation does (PEP 660), without a build: so it takes no time and no network, writes nothing beside the
code, and each release, also one whose virtualenv is a clone, has that of its own code. The package's metadata lie in
the release and not in the virtualenv, where they would pass for something that was installed.
"""

from __future__ import annotations

from pathlib import Path

from .pyproject import Project
from .virtualenv import normalize

_LINK = "ocf_flask_project.pth"
_MARK = "# Made by a deploy, as pyproject.toml says."


def install(release: Path, code: Path, project: Project) -> None:
    """Let a release's virtualenv find what is in ``src/`` of the code, and what the project declares.

    Entry points and commands are found as those of packages are, and so is the version.
    """
    venv = release / "venv"
    (site_packages,) = venv.glob("lib/python3*/site-packages")
    paths = [code / "src"] if has_source_directory(code) else []
    for script in (venv / "bin").iterdir():
        if script.is_file() and not script.is_symlink() and _MARK.encode() in script.read_bytes()[:500]:
            script.unlink()
    if project.name:
        _write_metadata(release / "project", project)
        paths.append(release / "project")
        for name, leads_to in project.entry_points.get("console_scripts", {}).items():
            _write_script(venv, name, leads_to)
    # Another release's virtualenv may have the same file, when this one is its clone.
    (site_packages / _LINK).unlink(missing_ok=True)
    if paths:
        (site_packages / _LINK).write_text("".join(f"{path}\n" for path in paths))


def has_source_directory(code: Path) -> bool:
    """Whether the code is in ``src/``, and that is not a package itself."""
    return (code / "src").is_dir() and not (code / "src" / "__init__.py").exists()


def _write_metadata(directory: Path, project: Project) -> None:
    version = project.version.replace("-", "_")
    info = directory / f"{normalize(project.name).replace('-', '_')}-{version}.dist-info"
    info.mkdir(mode=0o700, parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project.name}\nVersion: {project.version}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {leads_to}\n" for name, leads_to in table.items())
        for group, table in project.entry_points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))


def _write_script(venv: Path, name: str, leads_to: str) -> None:
    module, _, function = leads_to.partition("[")[0].strip().partition(":")
    script = venv / "bin" / name
    if "/" in name or script.exists() or not function:
        return
    first, call = function.split(".")[0], function.strip()
    script.write_text(f"#!{venv}/bin/python\n{_MARK}\nimport sys\n\nfrom {module} import {first}\n\nsys.exit({call}())\n")
    script.chmod(0o755)
