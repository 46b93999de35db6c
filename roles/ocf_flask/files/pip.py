"""``pip`` for a virtualenv that holds no copy of it (25 MB a site): runs the one that comes with Python.

Lies in the virtualenv's site-packages, so that ``pip install X`` and ``python -m pip install X`` work
once the virtualenv is activated, as users know them. A real pip, once installed here, goes first.
"""

import glob
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig

DEBIAN = "/usr/share/python-wheels"


def bundled():
    """The wheel of pip that Python (ensurepip) or Debian (python3-pip-whl) brings; None without either.

    Python's own first: Debian's may be too old for another Python on the machine.
    """
    directories = [
        sysconfig.get_config_var("WHEEL_PKG_DIR"),
        os.path.join(sysconfig.get_path("stdlib"), "ensurepip", "_bundled"),
        DEBIAN,
    ]
    for directory in filter(None, directories):
        wheels = sorted(glob.glob(os.path.join(directory, "pip-*.whl")))
        if wheels:
            return wheels[-1]
    return None


def main():
    """Run pip for this virtualenv with the arguments of the command line; never returns."""
    wheel = bundled()
    if wheel:
        sys.path.insert(0, wheel)
        sys.modules.pop("pip", None)
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
        sys.exit(0)
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    known = subprocess.run([base, "-m", "pip", "--version"], capture_output=True, check=False)
    if known.returncode == 0:
        os.execv(base, [base, "-m", "pip", "--python", sys.executable, *sys.argv[1:]])
    uv = os.environ.get("OCF_FLASK_UV") or shutil.which("uv")
    if uv:
        os.environ["VIRTUAL_ENV"] = sys.prefix
        os.execv(uv, [uv, "pip", *sys.argv[1:]])
    sys.exit(
        "There is no pip on this machine. Ask for the package python3-venv (as root: apt install python3-venv), or write "
        "the packages into requirements.txt and deploy."
    )


if __name__ == "__main__":
    main()
