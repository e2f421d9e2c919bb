"""What volunteers said: the decision tree, votes, label schemes, catalogues and splits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue": ["COUNT", "ID_COLUMNS", "Catalogue", "Problem", "read_catalogue"],
        "dirichlet": [
            "cumulative_moments",
            "deviations",
            "fraction_beta",
            "fraction_intervals",
        ],
        "labels": [
            "TARGET",
            "answer_catalogue",
            "count_classes",
            "label_catalogue",
            "soft_label_catalogue",
            "vote_counts",
        ],
        "image_files": [
            "File",
            "ImageFiles",
            "image_name",
            "in_test_part",
            "in_training_part",
            "is_zip",
            "list_image_files",
            "require_images",
            "same_content",
        ],
        "layout": ["find_layout", "has_catalogue", "tables_and_images"],
        "schemas": [
            "GALAXY_ZOO_2",
            "GALAXY_ZOO_DECALS",
            "KINDS",
            "SCHEMAS",
            "Schema",
            "get_schema",
        ],
        "schemes": [
            "SCHEMES",
            "Scheme",
            "assign_labels",
            "class_values",
            "get_scheme",
            "soft_targets",
        ],
        "splits": ["PARTS", "fold_splits", "split_galaxies"],
        "tables": ["Piece", "Table", "as_ids", "as_text", "open_table", "what_is"],
        "tree": [
            "GALAXY_ZOO_CHALLENGE",
            "Answer",
            "Question",
            "Tree",
            "broken_sums",
            "draw_votes",
            "known_fractions",
            "likeliest_walk",
            "reached",
            "to_conditional",
            "to_cumulative",
        ],
        "votes": ["Votes", "read_votes"],
    },
)
