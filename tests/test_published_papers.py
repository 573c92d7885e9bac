"""The five papers as data: their tables, typed out here once more, and names that exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evalkit.bench.suite import suite_names
from evalkit.bench.tasks.interpolation import DATA
from evalkit.errors import UserError
from evalkit.metrics import METRICS
from evalkit.registry import generator_names
from evalkit.results import REFERENCE
from reports.papers import DISTANCES, LISTENERS, ORIGINAL, Claim, parse_paper, read_papers

# Names of the project's plan that nothing answers to yet; one that is not here either is a mistake in writing.
NOT_HERE_YET = {
    *("measure-vae", "inpaintnet", "past-inpaintnet", "future-inpaintnet", "inpaintnet-untrained-vae"),
    *("base-arnn", "reg-arnn", "mvae", "mvae-no-unrolling", "modularized-ae", "bachprop"),
}
SUITES_NOT_HERE_YET = {"inpainting", "note-events"}
METRICS_NOT_HERE_YET = {"latent_silhouette"}
ALWAYS_THERE = {REFERENCE, DATA}  # rows of results without being asked for

EVERY = [(paper.paper, claim) for paper in read_papers() for claim in paper.own_claims]
NAMES = [claim.id for _, claim in EVERY]


def rows(paper: str, table: str) -> dict[str, tuple[float | None, ...]]:
    found = next(p for p in read_papers() if p.paper == paper)
    (wanted,) = (t for t in found.tables if t.id == table)
    return {(found.systems | wanted.names)[name]: values for name, values in wanted.rows.items()}


def test_all_five_papers_are_there() -> None:
    assert [p.paper for p in read_papers()] == ["esnet", "inpaintnet", "musicvae_icml", "musicvae_workshop", "mvae"]
    assert all(p.claims and p.tables for p in read_papers())


# ---- numbers, as in the papers ------------------------------------------------------------------------------------


def test_the_workshop_papers_table() -> None:
    """Row by row: Baseline Next and Recon; VAE Next, Recon, KL; with scheduled sampling Next, Recon, KL."""
    printed = {
        "2-bar Drum": (0.722, 0.395, 0.979, 0.917, 70.7, 0.972, 0.963, 73.5),
        "2-bar Melody": (0.723, 0.619, 0.986, 0.951, 72.9, 0.989, 0.987, 76.2),
        "32-bar Melody": (0.736, 0.579, 0.824, 0.674, 173.2, 0.724, 0.722, 343.8),
    }
    kinds = ("Baseline", "VAE", "VAE with scheduled sampling")
    found = rows("musicvae_workshop", "table-1")
    assert len(found) == 9
    for name, values in printed.items():
        assert sum((found[f"{name}, {kind}"] for kind in kinds), ()) == (*values[:2], None, *values[2:])
    trio = {
        "Lead": (0.735, 0.423, 0.818, 0.653, 0.763, 0.761),
        "Bass": (0.781, 0.414, 0.882, 0.692, 0.824, 0.823),
        "Drums": (0.810, 0.221, 0.926, 0.808, 0.871, 0.868),
    }
    found = rows("musicvae_workshop", "table-1-trio")
    for kind, kl in zip(kinds, (None, 177.4, 811.6), strict=True):
        of_kind = tuple(v for row in trio.values() for v in row[2 * kinds.index(kind) : 2 * kinds.index(kind) + 2])
        assert found[f"16-bar Trio, {kind}"] == (*of_kind, kl)


@pytest.mark.parametrize(
    ("table", "printed"),
    [  # row by row: teacher-forcing flat, hierarchical; sampling flat, hierarchical
        ("table-1", {"16-bar Melody": (0.883, 0.919, 0.620, 0.812), "16-bar Drum": (0.884, 0.928, 0.549, 0.879)}),
        ("table-2", {"16-bar Melody": (0.952, 0.956, 0.685, 0.867), "16-bar Drum": (0.937, 0.955, 0.794, 0.908)}),
    ],
)
def test_the_conference_papers_tables(table: str, printed: dict[str, tuple[float, ...]]) -> None:
    found = rows("musicvae_icml", table)
    for name, (forced_flat, forced, sampled_flat, sampled) in printed.items():
        assert found[f"{name}, flat"] == (forced_flat, sampled_flat)
        assert found[f"{name}, hierarchical"] == (forced, sampled)
    if table == "table-1":
        assert (found["2-bar Drum, flat"], found["2-bar Melody, flat"]) == ((0.979, 0.917), (0.986, 0.951))
    assert len(found) == {"table-1": 6, "table-2": 4}[table]


@pytest.mark.parametrize(
    ("table", "printed"),
    [
        ("table-1-trio", [(0.796, 0.848, 0.579, 0.753), (0.829, 0.880, 0.565, 0.773), (0.903, 0.912, 0.641, 0.863)]),
        ("table-2-trio", [(0.866, 0.868, 0.660, 0.760), (0.906, 0.912, 0.651, 0.782), (0.943, 0.946, 0.641, 0.895)]),
    ],
)
def test_the_conference_papers_trios(table: str, printed: list[tuple[float, ...]]) -> None:
    found = rows("musicvae_icml", table)
    assert found["Trio, flat"] == tuple(v for forced, _, sampled, _ in printed for v in (forced, sampled))
    assert found["Trio, hierarchical"] == tuple(v for _, forced, _, sampled in printed for v in (forced, sampled))


def test_the_two_bar_rows_of_the_conference_are_the_workshops_without_scheduled_sampling() -> None:
    icml, workshop = rows("musicvae_icml", "table-1"), rows("musicvae_workshop", "table-1")
    for name in ("2-bar Drum", "2-bar Melody"):
        assert icml[f"{name}, flat"] == workshop[f"{name}, VAE"][:2]
        assert icml[f"{name}, flat"] != workshop[f"{name}, VAE with scheduled sampling"][:2]


def test_the_other_papers_numbers() -> None:
    assert rows("mvae", "table-1") == {
        "BachProp": (240.16, None, 3.51, 1.61),
        "Modularized autoencoder": (20.79, None, 2.77, 1.65),
        "Proposed model without note unrolling": (85.88, 264.00, 3.22, 1.73),
        "Proposed model with note unrolling": (73.19, 30.37, 4.24, 1.54),
        "Real Data": (None, None, 4.34, 1.55),
    }
    assert rows("inpaintnet", "section-4-4") == {"InpaintNet, untrained MeasureVAE": (1.33,)}
    assert rows("inpaintnet", "section-4-3") == {"Reg-ARNN": (0.25,), "Base-ARNN": (0.55,)}
    assert rows("inpaintnet", "section-4-2") == {"MeasureVAE": (0.99,)}
    assert rows("inpaintnet", "figure-9") == {"Real Data": (0.2,), "Base-ARNN": (0.5,), "Reg-ARNN": (0.5,)}
    assert rows("inpaintnet", "section-4-6") == {"Study": (72, 10, 720, 30)}
    assert list(rows("musicvae_icml", "section-5-6").values()) == [
        (192, 128, 37.85),
        (192, 128, 76.62),
        (192, 128, 44.54),
    ]
    assert list(rows("esnet", "figure-4").values()) == [(207, None), (211, 64.47), (213, 73.07)]


# ---- names ----------------------------------------------------------------------------------------------------------


def names_in(claim: Claim) -> Iterator[str]:
    for test in (*claim.test, *claim.correct, *claim.heard):
        yield from (*test.left, *(test.right or ()))


def test_ids_are_given_once() -> None:
    assert len(set(NAMES)) == len(NAMES) > 60


@pytest.mark.parametrize("paper", read_papers(), ids=lambda paper: paper.paper)
def test_systems_and_metrics_of_tables_exist(paper) -> None:
    assert paper.systems.keys() <= {*generator_names(), *NOT_HERE_YET, REFERENCE, ORIGINAL}
    assert {c.metric for table in paper.tables for c in table.columns} <= {*METRICS, None}
    assert paper.suite in {*suite_names(), *SUITES_NOT_HERE_YET}


@pytest.mark.parametrize("claim", [claim for _, claim in EVERY], ids=NAMES)
def test_a_claim_can_be_tested(claim: Claim) -> None:
    if claim.needs == LISTENERS:
        assert claim.test == ()
        assert set(names_in(claim)) <= {*generator_names(), *NOT_HERE_YET, ORIGINAL}
        return
    assert set(claim.needs) <= {*generator_names(), *NOT_HERE_YET}
    assert claim.suite in {*suite_names(), *SUITES_NOT_HERE_YET, ""}
    assert set(names_in(claim)) <= {*claim.needs, *ALWAYS_THERE}
    assert set(claim.needs) <= set(names_in(claim))
    assert all(test.variant == "correct" for test in claim.correct)
    for test in (*claim.test, *claim.correct):
        if test.metric in METRICS_NOT_HERE_YET:
            continue
        assert test.variant in METRICS[test.metric].variants
        if test.right is not None:
            assert (METRICS[test.metric].direction == "closer") == (test.relation in DISTANCES)


def test_what_the_tasks_of_a_claim_are_called_is_what_a_suite_calls_them() -> None:
    from evalkit.bench.suite import load_suite

    for _, claim in EVERY:
        if claim.suite in suite_names():
            titles = {task.title for task in load_suite(claim.suite).tasks}
            assert set(claim.tasks) <= titles | {"score"}


def test_only_claims_about_groups_of_listeners_have_no_test() -> None:
    assert [claim.id for _, claim in EVERY if not claim.test and not claim.heard] == ["inpaintnet-heard-by-musicians"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"rows": {"ngram": [1, 2]}}, "tables\\[0\\]: the row 'ngram' has 2 values for 1 columns"),
        ({"rows": {"nobody": [1]}}, "t: the row 'nobody' has no name"),
        ({"columns": [{"heading": "A", "decimal": 1}]}, "unknown key 'decimal'"),
        ({"columns": []}, "tables\\[0\\].columns"),
    ],
)
def test_a_table_that_makes_no_sense_names_file_and_key(changed: dict, sentence: str) -> None:
    table = {"id": "t", "heading": "T", "dataset": "d", "columns": [{"heading": "A", "decimals": 1}], "rows": {}}
    raw = {"paper": "p", "title": "P", "systems": {"ngram": "N"}, "tables": [table | changed]}
    with pytest.raises(UserError, match=f"^p.yaml: .*{sentence}"):
        parse_paper(raw, "p.yaml")
