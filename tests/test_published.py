"""The papers' numbers as data: complete, as printed, and set beside ours only where the two may be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.metrics import METRICS
from evalkit.results import Result, results_document, to_json, write_atomically
from reports.papers import read_papers
from reports.published import PublishedTable, published_tables
from reports.records import read_records

# ES-Net Table 2, row by row as printed: PC, P, ISR, PR
TABLE_2 = {
    "Training Data": (6, 46, 0.541, 0.917),
    "ES-Net": (6, 46, 0.540, 0.930),
    "Gibbs Sampling": (6, 46, 0.535, 0.898),
    "Orderless NADE": (8, 55, 0.559, 0.759),
}


def result(
    metric: str,
    variant: str,
    value: float,
    generator: str = "es-net",
    reference: str | None = "jsb:train",
    task: str = "score",
    **settings: str,
) -> Result:
    settings |= {} if reference is None else {"reference": reference}
    return Result("score", task, generator, metric, variant, value, None, 77, "", "closer", settings)


def tables_beside(tmp_path: Path, *results: Result) -> dict[str, PublishedTable]:
    write_atomically(tmp_path / "results.json", to_json(results_document({}, list(results))))
    return {table.heading[:14]: table for table in published_tables(read_records([tmp_path]))}


def cell(table: PublishedTable, system: str, heading: str):
    place = [c.heading for c in table.columns].index(heading)
    return next(row.cells[place] for row in table.rows if row.system == system)


def test_every_column_names_a_known_definition_and_every_number_has_its_decimals() -> None:
    for paper in read_papers():
        for table in paper.tables:
            for values in table.rows.values():
                for value, column in zip(values, table.columns, strict=True):
                    assert value is None or round(value, column.decimals) == value
            for column in table.columns:
                if column.metric is not None:
                    assert column.variant in METRICS[column.metric].variants


def test_table_2_is_as_printed(tmp_path: Path) -> None:
    table = tables_beside(tmp_path, result("pitches", "correct", 46.0))["ES-Net Table 2"]
    assert {row.system: tuple(c.value for c in row.cells) for row in table.rows} == TABLE_2


def test_tables_1_and_3_are_as_printed(tmp_path: Path) -> None:
    measured = [
        result("edit_log_likelihood", "published", -1.0, reference="jsb:test"),
        result("bhattacharyya", "correct", 0.1),
    ]
    tables = tables_beside(tmp_path, *measured)
    printed = {
        name: {row.system: tuple(c.value for c in row.cells) for row in table.rows} for name, table in tables.items()
    }
    assert printed == {
        "ES-Net Table 1": {"ES-Net": (-0.635,), "Orderless NADE": (-0.558,)},
        "ES-Net Table 3": {
            "ES-Net": (0.028, 0.17, 0.49, 46),
            "Gibbs Sampling": (0.021, 0.13, 0.83, 46),
            "Orderless NADE": (0.049, 0.17, 0.49, 46),
        },
    }


def test_published_and_correct_values_stand_beside_the_printed_one(tmp_path: Path) -> None:
    table = tables_beside(
        tmp_path, result("pitch_classes", "published", 6.0), result("pitch_classes", "correct", 12.0)
    )["ES-Net Table 2"]
    found = cell(table, "ES-Net", "PC")
    assert (found.value, found.ours.value, found.correct.value) == (6, 6.0, 12.0)
    assert cell(table, "Gibbs Sampling", "PC").ours is None
    assert "ten neighbouring pitches" in table.note


def test_the_reference_is_the_training_data_row_only_on_jsb_train(tmp_path: Path) -> None:
    on_train = tables_beside(tmp_path / "a", result("pitches", "correct", 46.0, "reference"))
    assert cell(on_train["ES-Net Table 2"], "Training Data", "P").ours.value == 46.0
    assert tables_beside(tmp_path / "b", result("pitches", "correct", 45.0, "reference", "jsb:test")) == {}


@pytest.mark.parametrize("variant", ["published", "correct"])
def test_where_the_paper_is_sound_either_variant_is_its_definition(tmp_path: Path, variant: str) -> None:
    table = tables_beside(tmp_path, result("polyphonic_rate", variant, 0.93))["ES-Net Table 2"]
    assert cell(table, "ES-Net", "PR").ours.value == 0.93
    assert cell(table, "ES-Net", "PR").correct is None


def test_where_it_is_not_the_correct_value_is_never_shown_as_the_published_one(tmp_path: Path) -> None:
    table = tables_beside(tmp_path, result("ks_pitch", "correct", 0.05, "coconet"))["ES-Net Table 3"]
    found = cell(table, "Gibbs Sampling", "KS D")
    assert (found.value, found.ours, found.correct.value) == (0.13, None, 0.05)
    assert "not which pitch" in table.note


def test_every_other_system_has_a_row_of_its_own_after_those_of_the_paper(tmp_path: Path) -> None:
    ours = [result("pitches", "correct", 44.0, name) for name in ("my-model", "es-net")]
    ours.append(result("nll", "correct", 1.0, "scores-only"))
    table = tables_beside(tmp_path, *ours)["ES-Net Table 2"]
    assert [row.system for row in table.rows] == [*TABLE_2, "my-model"]
    assert [row.in_paper for row in table.rows] == [True] * 4 + [False]
    found = cell(table, "my-model", "P")
    assert (found.value, found.ours.value) == (None, 44.0)


def test_a_system_of_the_paper_that_a_table_lacks_is_a_further_row_under_its_name(tmp_path: Path) -> None:
    likelihood = result("edit_log_likelihood", "published", -0.7, "coconet", reference="jsb:test")
    table = tables_beside(tmp_path, likelihood)["ES-Net Table 1"]
    assert [(row.system, row.in_paper) for row in table.rows][2:] == [("Gibbs Sampling", False)]


def test_other_data_are_not_the_papers(tmp_path: Path) -> None:
    """Likelihoods are about what was asked, not about what the same run compares samples with."""
    asked = {"inputs": "jsb:train", "reference": None}
    assert tables_beside(tmp_path / "a", result("edit_log_likelihood", "published", -0.7, **asked)) == {}
    completed = {"inputs": "jsb:test", "reference": "bach-chorales:train"}
    assert tables_beside(tmp_path / "b", result("pitches", "correct", 44.0, **completed)) == {}
    fitting = {"inputs": "jsb:test", "reference": "jsb:train"}
    assert [*tables_beside(tmp_path / "c", result("pitches", "correct", 44.0, **fitting))] == ["ES-Net Table 2"]


def test_the_task_that_asks_as_the_paper_did_is_preferred(tmp_path: Path) -> None:
    ours = [result("pitches", "correct", value, task=task) for task, value in (("samples", 40.0), ("completion", 44.0))]
    table = tables_beside(tmp_path / "both", *ours)["ES-Net Table 2"]
    assert (cell(table, "ES-Net", "P").ours.value, table.tasks) == (44.0, ["completion"])
    only = tables_beside(tmp_path / "one", ours[0])["ES-Net Table 2"]
    assert (cell(only, "ES-Net", "P").ours.value, only.tasks) == (40.0, ["samples"])


def test_an_estimate_and_the_exact_likelihood_stand_beside_the_printed_one(tmp_path: Path) -> None:
    ours = [
        result("edit_log_likelihood", variant, value, reference=None, inputs="jsb:test")
        for variant, value in (("published", -0.7), ("correct", -0.6))
    ]
    found = cell(tables_beside(tmp_path, *ours)["ES-Net Table 1"], "ES-Net", "Notewise LL")
    assert (found.value, found.ours.value, found.correct.value) == (-0.635, -0.7, -0.6)


# ---- papers whose data nobody else has ------------------------------------------------------------------------------


def accuracy(value: float, mode: str, generator: str = "musicvae-hier-16bar-melody", **settings) -> Result:
    asked = {"inputs": "folk:test", "z": "sample", "temperature": 1.0, "mode": mode} | settings
    return result("reconstruction_accuracy", "correct", value, generator, None, "reconstruction", **asked)


def reproduced(tmp_path: Path, *results: Result) -> dict[str, PublishedTable]:
    """By the whole heading up to the colon."""
    write_atomically(tmp_path / "results.json", to_json(results_document({}, list(results))))
    return {table.heading.partition(":")[0]: table for table in published_tables(read_records([tmp_path]))}


def test_a_column_is_of_one_setting(tmp_path: Path) -> None:
    found = reproduced(tmp_path, accuracy(0.5, "sampled"), accuracy(0.9, "teacher_forced"))["MusicVAE Table 1"]
    row = [cell(found, "16-bar Melody, hierarchical", heading) for heading in ("Teacher-Forcing", "Sampling")]
    assert [(c.value, c.ours.value) for c in row] == [(0.919, 0.9), (0.812, 0.5)]
    assert cell(found, "16-bar Melody, flat", "Sampling").ours is None


def test_where_ours_were_measured_on_other_data_the_table_says_so_and_shows_no_other_system(tmp_path: Path) -> None:
    ours = [accuracy(0.5, "sampled"), accuracy(0.4, "sampled", "commonest-token")]
    tables = reproduced(tmp_path, *ours)
    assert [*tables] == ["MusicVAE Table 1"]  # not Table 2, of data that anybody can have
    found = tables["MusicVAE Table 1"]
    assert (found.elsewhere, len(found.rows)) == (("folk:test",), 6)
    assert all(row.in_paper for row in found.rows)
    same = reproduced(tmp_path / "2", *(accuracy(0.5, "sampled", inputs="Lakh MIDI Dataset", generator=g)
                                        for g in ("musicvae-hier-16bar-melody", "mine")))  # fmt: skip
    assert (same["MusicVAE Table 2"].elsewhere, [row.in_paper for row in same["MusicVAE Table 2"].rows][-1]) == (
        (),
        False,
    )


@pytest.mark.parametrize("changed", [{"z": "mean"}, {"temperature": 0.5}])
def test_reconstructions_that_were_made_otherwise_are_not_set_beside_it(tmp_path: Path, changed: dict) -> None:
    assert reproduced(tmp_path, accuracy(0.5, "sampled", **changed)) == {}


def test_the_voices_of_a_trio_have_columns_of_their_own(tmp_path: Path) -> None:
    trio = [accuracy(0.1 * v, "sampled", "musicvae-flat-16bar-trio", voice=v) for v in (1, 2, 3)]
    found = reproduced(tmp_path, *trio, accuracy(0.9, "sampled", "musicvae-flat-16bar-trio", voice="all"))
    table = found["MusicVAE Table 1, trios"]
    assert [cell(table, "Trio, flat", f"{who} Sampling").ours.value for who in ("Melody", "Bass", "Drums")] == [
        pytest.approx(0.1 * v) for v in (1, 2, 3)
    ]
    assert "MusicVAE Table 1" not in found
