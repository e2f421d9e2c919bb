"""Vote catalogues as schemas: a decision tree, and how the catalogue's columns are called.

To add one, here or in a plugin, call `SCHEMAS.register`. The order of the questions is the order of
the columns; what leads where is said by the answers, and a question may be reached from several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from galaxymorph.base import Registry
from galaxymorph.zoo.tree import GALAXY_ZOO_CHALLENGE, Answer, Question, Tree

# What a catalogue's columns can hold. All but the last are of a question's own volunteers;
# `cumulative` is of all volunteers, see `zoo.tree`.
KINDS = ("counts", "fraction", "weighted", "debiased", "cumulative")


@dataclass(frozen=True)
class Schema:
    """A catalogue's tree and its columns.

    `columns` gives, for each of the `KINDS` that the catalogue may have, the preferred one first,
    the pattern of an answer's column, with `{answer}` for the answer's name in the tree. `totals`
    are the patterns of a question's number of votes, with `{question}`; `ids` the columns that can
    name a galaxy.
    """

    about: str
    tree: Tree
    ids: tuple[str, ...]
    columns: Mapping[str, str]
    totals: tuple[str, ...] = ()

    def answer_columns(self, kind: str) -> list[str]:
        """Return the columns of one of the `KINDS`, in the order of the tree's answers."""
        return [self.columns[kind].format(answer=answer) for answer in self.tree.columns]

    def total_columns(self) -> dict[str, tuple[str, ...]]:
        """Return, by question, the names that the column of its number of votes may have."""
        return {
            question.name: tuple(total.format(question=question.name) for total in self.totals)
            for question in self.tree.questions
        }


SCHEMAS: Registry[Schema] = Registry("vote schema")

SCHEMAS.register(
    GALAXY_ZOO_CHALLENGE.name,
    Schema(
        "The Kaggle challenge of 2014: cumulative fractions; counts in tables made in its format",
        GALAXY_ZOO_CHALLENGE,
        ids=("GalaxyID",),
        columns={"cumulative": "{answer}", "counts": "{answer}_count"},
    ),
)


def _question(
    name: str, asks: str, *answers: tuple[str, str, str | None], of_all: bool = False
) -> Question:
    """Return a question whose answers are (the end of the column's name, words, leads to)."""
    return Question(
        name, asks, tuple(Answer(f"{name}_{end}", says, to) for end, says, to in answers), of_all
    )


# Questions and paths: Willett et al. 2013, MNRAS 435, 2835, table 2 and figure 1; columns: Hart et
# al. 2016, MNRAS 461, 3663. Bar, arms and bulge are asked of disks that aren't edge-on, in that
# order, and question 6 of everybody but those who said "star or artifact": of the galaxy with 44
# "smooth", 2 "features" and 1 "artifact" (SDSS J153010.73+484124.8), 2 votes for "not edge-on"
# are followed by 2 each on bar, arms and bulge, and 46 on question 6.
GALAXY_ZOO_2 = Tree(
    "galaxy-zoo-2",
    (
        _question(
            "t01_smooth_or_features",
            "Smooth, or with features or a disk?",
            ("a01_smooth", "smooth", "t07_rounded"),
            ("a02_features_or_disk", "features or disk", "t02_edgeon"),
            ("a03_star_or_artifact", "star or artifact", None),
            of_all=True,
        ),
        _question(
            "t02_edgeon",
            "A disk viewed edge-on?",
            ("a04_yes", "yes", "t09_bulge_shape"),
            ("a05_no", "no", "t03_bar"),
        ),
        _question(
            "t03_bar",
            "A bar through the centre?",
            ("a06_bar", "yes", "t04_spiral"),
            ("a07_no_bar", "no", "t04_spiral"),
        ),
        _question(
            "t04_spiral",
            "Spiral arms?",
            ("a08_spiral", "yes", "t10_arms_winding"),
            ("a09_no_spiral", "no", "t05_bulge_prominence"),
        ),
        _question(
            "t05_bulge_prominence",
            "How prominent is the bulge?",
            ("a10_no_bulge", "none", "t06_odd"),
            ("a11_just_noticeable", "just noticeable", "t06_odd"),
            ("a12_obvious", "obvious", "t06_odd"),
            ("a13_dominant", "dominant", "t06_odd"),
        ),
        _question(
            "t06_odd",
            "Anything odd?",
            ("a14_yes", "yes", "t08_odd_feature"),
            ("a15_no", "no", None),
        ),
        _question(
            "t07_rounded",
            "How rounded?",
            ("a16_completely_round", "completely round", "t06_odd"),
            ("a17_in_between", "in between", "t06_odd"),
            ("a18_cigar_shaped", "cigar-shaped", "t06_odd"),
        ),
        _question(
            "t08_odd_feature",
            "What is odd?",
            ("a19_ring", "ring", None),
            ("a20_lens_or_arc", "lens or arc", None),
            ("a21_disturbed", "disturbed", None),
            ("a22_irregular", "irregular", None),
            ("a23_other", "other", None),
            ("a24_merger", "merger", None),
            ("a38_dust_lane", "dust lane", None),
        ),
        _question(
            "t09_bulge_shape",
            "What is the bulge's shape, edge-on?",
            ("a25_rounded", "rounded", "t06_odd"),
            ("a26_boxy", "boxy", "t06_odd"),
            ("a27_no_bulge", "none", "t06_odd"),
        ),
        _question(
            "t10_arms_winding",
            "How tightly wound are the arms?",
            ("a28_tight", "tight", "t11_arms_number"),
            ("a29_medium", "medium", "t11_arms_number"),
            ("a30_loose", "loose", "t11_arms_number"),
        ),
        _question(
            "t11_arms_number",
            "How many arms?",
            ("a31_1", "one", "t05_bulge_prominence"),
            ("a32_2", "two", "t05_bulge_prominence"),
            ("a33_3", "three", "t05_bulge_prominence"),
            ("a34_4", "four", "t05_bulge_prominence"),
            ("a36_more_than_4", "more than four", "t05_bulge_prominence"),
            ("a37_cant_tell", "can't tell", "t05_bulge_prominence"),
        ),
    ),
)

SCHEMAS.register(
    GALAXY_ZOO_2.name,
    Schema(
        "Galaxy Zoo 2, as released by Hart et al. 2016",
        GALAXY_ZOO_2,
        # The main table's, and that of the images' release.
        ids=("dr7objid", "dr8objid", "GalaxyID", "objid", "asset_id"),
        columns={
            "counts": "{answer}_count",
            "fraction": "{answer}_fraction",
            "weighted": "{answer}_weighted_fraction",
            "debiased": "{answer}_debiased",
        },
        # The second is in the release for MaNGA's galaxies.
        totals=("{question}_total_count", "{question}_count"),
    ),
)

# Questions, paths and columns of the last campaign, GZD-5: Walmsley et al. 2022, MNRAS 509, 3966.
# Bar, arms and bulge are asked of disks that aren't edge-on: of a galaxy with 18 votes for "not
# edge-on" the published counts have 18 each on bar, arms and bulge. The last question is asked of
# everybody but those who said "artifact".
GALAXY_ZOO_DECALS = Tree(
    "galaxy-zoo-decals",
    (
        _question(
            "smooth-or-featured",
            "Smooth, or with features or a disk?",
            ("smooth", "smooth", "how-rounded"),
            ("featured-or-disk", "features or disk", "disk-edge-on"),
            ("artifact", "star or artifact", None),
            of_all=True,
        ),
        _question(
            "disk-edge-on",
            "A disk viewed edge-on?",
            ("yes", "yes", "edge-on-bulge"),
            ("no", "no", "bar"),
        ),
        _question(
            "has-spiral-arms",
            "Spiral arms?",
            ("yes", "yes", "spiral-winding"),
            ("no", "no", "bulge-size"),
        ),
        _question(
            "bar",
            "A bar through the centre?",
            ("strong", "strong", "has-spiral-arms"),
            ("weak", "weak", "has-spiral-arms"),
            ("no", "none", "has-spiral-arms"),
        ),
        _question(
            "bulge-size",
            "How large is the bulge?",
            ("dominant", "dominant", "merging"),
            ("large", "large", "merging"),
            ("moderate", "moderate", "merging"),
            ("small", "small", "merging"),
            ("none", "none", "merging"),
        ),
        _question(
            "how-rounded",
            "How rounded?",
            ("round", "completely round", "merging"),
            ("in-between", "in between", "merging"),
            ("cigar-shaped", "cigar-shaped", "merging"),
        ),
        _question(
            "edge-on-bulge",
            "What is the bulge's shape, edge-on?",
            ("boxy", "boxy", "merging"),
            ("none", "none", "merging"),
            ("rounded", "rounded", "merging"),
        ),
        _question(
            "spiral-winding",
            "How tightly wound are the arms?",
            ("tight", "tight", "spiral-arm-count"),
            ("medium", "medium", "spiral-arm-count"),
            ("loose", "loose", "spiral-arm-count"),
        ),
        _question(
            "spiral-arm-count",
            "How many arms?",
            ("1", "one", "bulge-size"),
            ("2", "two", "bulge-size"),
            ("3", "three", "bulge-size"),
            ("4", "four", "bulge-size"),
            ("more-than-4", "more than four", "bulge-size"),
            ("cant-tell", "can't tell", "bulge-size"),
        ),
        _question(
            "merging",
            "Merging, or disturbed?",
            ("none", "neither", None),
            ("minor-disturbance", "minor disturbance", None),
            ("major-disturbance", "major disturbance", None),
            ("merger", "merger", None),
        ),
    ),
)

SCHEMAS.register(
    GALAXY_ZOO_DECALS.name,
    Schema(
        "Galaxy Zoo DECaLS, campaign GZD-5, as released by Walmsley et al. 2022",
        GALAXY_ZOO_DECALS,
        ids=("iauname", "GalaxyID", "id_str"),
        columns={
            "counts": "{answer}",
            "fraction": "{answer}_fraction",
            "debiased": "{answer}_debiased",
        },
        # The release's own description drops the second half of the name.
        totals=("{question}_total-votes", "{question}_total"),
    ),
)
