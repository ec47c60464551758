"""The course: every notebook runs offline, as committed, without an error or a warning."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.course.files import notebooks_folder, number_of
from harness.course.predictions import load_predictions
from tests.support.warm_kernel import warm_kernels

if TYPE_CHECKING:  # it takes a second, and each process of a suite imports every test file
    import nbformat

FOLDER = notebooks_folder()
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
PARTS = ("**The question.**", "## Predict first", "## Exercises", "*Sources.*")
PREDICTS = [path for path in NOTEBOOKS if 'predict(\\"' in path.read_text("utf-8")]
PICTURE = re.compile(
    r"\.plot\(|^(?:resolve|calibration|little)\(|intervals\(first|stalls_seen\(opened|goodput\(full"
    r"|two_clocks\(|document_times\(|cost_model\(",
    re.MULTILINE,
)


def names(paths: list[Path]) -> list[str]:
    return [f"{path.parent.name}-{path.name}" for path in paths]


def read(path: Path) -> nbformat.NotebookNode:
    import nbformat

    found: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return found


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    from harness.course import execute as course

    return course.execute(path, folder)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


def words(notebook: nbformat.NotebookNode) -> str:
    """All text that the outputs hold, pictures left out."""
    told = []
    for output in outputs(notebook):
        told.append(output.get("text", ""))
        data = output.get("data", {})
        told += [text for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join(told)


def assert_clean(notebook: nbformat.NotebookNode) -> None:
    for output in outputs(notebook):
        assert output.output_type != "error", output.get("evalue")
        assert output.get("name") != "stderr", output.get("text")
    said = words(notebook)
    assert "Warning" not in said
    assert os.uname().nodename not in said or len(os.uname().nodename) < 4
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|usr|opt|mnt)/", said)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with warm_kernels(tmp_path_factory.mktemp("kernels")) as folder:
        yield folder


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=names(NOTEBOOKS + SOLUTIONS))
def test_it_runs_offline(
    path: Path, kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    monkeypatch.setenv("LAB_OFFLINE", "1")
    monkeypatch.setenv("LAB_UNFOLDED", "1")
    monkeypatch.delenv("LAB_RECORD", raising=False)
    done = execute(path, tmp_path)
    assert_clean(done)
    assert not (tmp_path / "results").exists()  # nothing was measured


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=names(NOTEBOOKS + SOLUTIONS))
def test_it_is_committed_with_clean_outputs_and_short_cells(path: Path) -> None:
    from nbformat import validate

    notebook = read(path)
    validate(notebook)
    assert_clean(notebook)
    assert all(cell.execution_count for cell in code(notebook))
    assert max(len(cell.source.splitlines()) for cell in code(notebook)) <= 10


def test_there_are_eleven_each_with_its_solutions() -> None:
    numbers = [number_of(path) for path in NOTEBOOKS]
    assert numbers == ["0", "1", "2", "2a", "2b", "3", "4", "5", "6", "7", "8"]
    assert [path.name for path in SOLUTIONS] == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_it_has_every_part_of_a_chapter(path: Path) -> None:
    notebook = read(path)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for part in PARTS:
        if part == "## Exercises" and path.name.startswith("08"):
            continue  # the whole of it is one
        assert part in text, part
    pictures = [o for o in outputs(notebook) if "image/png" in o.get("data", {})]

    assert pictures
    assert len(pictures) == sum(len(PICTURE.findall(cell.source)) for cell in code(notebook))


@pytest.mark.parametrize("path", PREDICTS, ids=names(PREDICTS))
def test_nothing_above_a_prediction_shows_a_figure_and_what_answers_it_is_folded(
    path: Path,
) -> None:
    cells = code(read(path))
    asks = next(place for place, cell in enumerate(cells) if "\npredict(" in cell.source)
    shown = [output for cell in cells[:asks] for output in cell.outputs if "data" in output]
    assert not shown
    text = "".join(output.get("text", "") for output in cells[asks].outputs)
    asked = re.findall(r"Prediction (\d\w?\.\d): none yet", text)
    assert asked == re.findall(r'predict\("(\d\w?\.\d)", None', cells[asks].source) != []
    resolved = [cell for cell in cells if re.search(r"^resolve\(", cell.source, re.MULTILINE)]
    assert len(resolved) == 1
    assert re.findall(r'"(\d\w?\.\d)": ', resolved[0].source) == asked
    for cell in cells[asks:]:
        answers = re.search(r"^\s*(show_after|resolve)\(", cell.source, re.MULTILINE)
        assert bool(answers) == bool(cell.metadata.get("jupyter", {}).get("outputs_hidden"))


@pytest.mark.parametrize("path", PREDICTS, ids=names(PREDICTS))
def test_a_picture_says_in_words_what_it_shows(path: Path) -> None:
    for output in outputs(read(path)):
        if "image/png" in output.get("data", {}):
            said = output.metadata.get("image/png", {}).get("alt", "")
            assert len(said) > 30
            assert said in output.data["text/plain"]


def test_without_a_prediction_answers_stay_folded_and_with_one_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    monkeypatch.delenv("LAB_UNFOLDED", raising=False)
    folded = execute(NOTEBOOKS[0], tmp_path)
    assert words(folded).count("Folded until there is a prediction 0.") == 6
    assert "Not shown: 0.1, 0.2, 0.3" in words(folded)
    assert not [output for output in outputs(folded) if "image/png" in output.get("data", {})]
    predicted = tmp_path / "predicted.ipynb"
    made = NOTEBOOKS[0].read_text("utf-8").replace("None, sure=None", "16, sure=80")
    predicted.write_text(made.replace('\\"0.3\\", 16', '\\"0.3\\", \\"pool\\"'), "utf-8")
    shown = execute(predicted, tmp_path)
    assert_clean(shown)
    assert "Folded" not in words(shown)
    assert "0.3: thread-pool predicted, thread-pool came out: right." in words(shown)
    kept = load_predictions(tmp_path)
    assert {made.seen for made in kept.values()} == {True}
    assert kept["0.3"].right("0.3") is True
    assert kept["0.1"].right("0.1") is False


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_an_exercise_without_an_answer_says_so(path: Path) -> None:
    text = words(read(path))
    assert re.search(rf"Exercise {number_of(path)}\.1: no answer yet\. \w+", text)
