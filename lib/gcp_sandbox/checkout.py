"""A git checkout of the sample function in sample/: the code that a rehearsal deploys."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_AUTHOR = {"NAME": "Sample", "EMAIL": "sample@example.com", "DATE": "2026-01-05T12:00:00Z"}
_FIXED = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _AUTHOR.items()}
_FIXED |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "LC_ALL": "C"}


@cache
def sample() -> Path:
    """A git checkout of the sample function, with a reviewed commit whose id is always the same.

    It is made on first use, for this process. Raises subprocess.CalledProcessError and FileNotFoundError without git.
    """
    folder = Path(tempfile.mkdtemp(prefix="sample-"))
    code = Path(__file__).with_name("sample")
    shutil.copytree(code, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--no-gpg-sign", "-m", "Sync Gmail\n\nReviewed-by: Blake <blake@example.com>")
    return folder


def _git(folder: Path, *words: str) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | _FIXED  # theirs may be of another one
    subprocess.run(["git", "-C", str(folder), *words], env=env, capture_output=True, check=True)
