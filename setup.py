"""What setup.cfg can't hold: the description for a package index, and the repository's address.

The address comes from GitHub Actions, which makes the releases. Elsewhere none is named.
"""

import os
import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.md")
IMAGE = re.compile(r'(<img src=")(?!https?:)([^"]+)("[^>]*>)|(!\[[^\]]*\]\()(?!https?:)([^)]+)(\))')
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)]+)\)")


def described(readme: str, repository: str | None = None, tag: str | None = None) -> str:
    """Return the README for a package index, where no relative link or image leads anywhere.

    Args:
        readme: in Markdown.
        repository: its address, which makes links and images absolute. Without it, links become
            their text, and images are left out.
        tag: of the release.
    """
    if repository is None:
        return LINK.sub(r"\1", IMAGE.sub("", readme))
    readme = IMAGE.sub(rf"\1\4{repository}/raw/{tag}/\2\5\3\6", readme)
    return LINK.sub(rf"[\1]({repository}/blob/{tag}/\2)", readme)


if __name__ == "__main__":
    owner_and_name, repository = os.environ.get("GITHUB_REPOSITORY"), None
    if owner_and_name:
        repository = f"{os.environ['GITHUB_SERVER_URL']}/{owner_and_name}"
    text = README.read_text(encoding="utf-8")
    setup(
        long_description=described(text, repository, os.environ.get("GITHUB_REF_NAME")),
        long_description_content_type="text/markdown",
        **({"url": repository} if repository else {}),
    )
