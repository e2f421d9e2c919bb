"""Run a notebook and store what it shows: python docs/notebooks.py first-model.ipynb.

It runs in an empty folder. Notebooks that show images which aren't ours stay without outputs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

WITHOUT_OUTPUTS = ("real-galaxies.ipynb", "challenge.ipynb")


def run_notebook(path: Path) -> None:
    """Run a notebook and store its outputs in it."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=3600, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if is_shown(output)]
    nbformat.write(notebook, path)


def is_shown(output: nbformat.NotebookNode) -> bool:
    """Drop the second form of an image, and tell whether an output shows anything.

    Lines of progress are left out: they tell how busy a computer was.
    """
    data = output.get("data", {})
    if str(data.get("text/html", "")).startswith("<small>"):
        return False
    if "image/jpeg" in data:
        data.pop("image/png", None)
    return output.output_type == "stream" or any(data.values())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if name in WITHOUT_OUTPUTS:
            sys.exit(f"{name}: its outputs aren't stored")
        run_notebook(Path(__file__).parent / name)
