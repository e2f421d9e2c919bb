from .catalogue import (
    ID_COLUMNS as ID_COLUMNS,
)
from .catalogue import (
    Catalogue as Catalogue,
)
from .catalogue import (
    Problem as Problem,
)
from .catalogue import (
    read_catalogue as read_catalogue,
)
from .columns import (
    CALIBRATED as CALIBRATED,
)
from .columns import (
    CALIBRATION as CALIBRATION,
)
from .columns import (
    COUNT as COUNT,
)
from .columns import (
    DEVIATION as DEVIATION,
)
from .columns import (
    EXPECTED as EXPECTED,
)
from .columns import (
    PARTS as PARTS,
)
from .columns import (
    PROBABILITY as PROBABILITY,
)
from .columns import (
    TARGET as TARGET,
)
from .columns import (
    TEST as TEST,
)
from .columns import (
    TRAIN as TRAIN,
)
from .columns import (
    VALID as VALID,
)
from .columns import (
    prefixed as prefixed,
)
from .columns import (
    without_prefix as without_prefix,
)
from .dirichlet import (
    cumulative_moments as cumulative_moments,
)
from .dirichlet import (
    deviations as deviations,
)
from .dirichlet import (
    fraction_beta as fraction_beta,
)
from .dirichlet import (
    fraction_intervals as fraction_intervals,
)
from .image_files import (
    File as File,
)
from .image_files import (
    ImageFiles as ImageFiles,
)
from .image_files import (
    image_name as image_name,
)
from .image_files import (
    in_test_part as in_test_part,
)
from .image_files import (
    in_training_part as in_training_part,
)
from .image_files import (
    is_zip as is_zip,
)
from .image_files import (
    list_image_files as list_image_files,
)
from .image_files import (
    require_images as require_images,
)
from .image_files import (
    same_content as same_content,
)
from .labels import (
    PLAIN as PLAIN,
)
from .labels import (
    answer_catalogue as answer_catalogue,
)
from .labels import (
    count_classes as count_classes,
)
from .labels import (
    handed_classes as handed_classes,
)
from .labels import (
    label_catalogue as label_catalogue,
)
from .labels import (
    notes_on_classes as notes_on_classes,
)
from .labels import (
    soft_label_catalogue as soft_label_catalogue,
)
from .labels import (
    vote_counts as vote_counts,
)
from .layout import (
    find_layout as find_layout,
)
from .layout import (
    has_catalogue as has_catalogue,
)
from .layout import (
    tables_and_images as tables_and_images,
)
from .schemas import (
    GALAXY_ZOO_2 as GALAXY_ZOO_2,
)
from .schemas import (
    GALAXY_ZOO_CHALLENGE as GALAXY_ZOO_CHALLENGE,
)
from .schemas import (
    GALAXY_ZOO_DECALS as GALAXY_ZOO_DECALS,
)
from .schemas import (
    KINDS as KINDS,
)
from .schemas import (
    SCHEMAS as SCHEMAS,
)
from .schemas import (
    Schema as Schema,
)
from .schemas import (
    load_schema as load_schema,
)
from .schemes import (
    SCHEMES as SCHEMES,
)
from .schemes import (
    Scheme as Scheme,
)
from .schemes import (
    assign_labels as assign_labels,
)
from .schemes import (
    class_values as class_values,
)
from .schemes import (
    soft_targets as soft_targets,
)
from .splits import (
    fold_splits as fold_splits,
)
from .splits import (
    split_galaxies as split_galaxies,
)
from .tables import (
    Piece as Piece,
)
from .tables import (
    Table as Table,
)
from .tables import (
    as_ids as as_ids,
)
from .tables import (
    as_text as as_text,
)
from .tables import (
    file_kind as file_kind,
)
from .tables import (
    open_table as open_table,
)
from .tree import (
    Answer as Answer,
)
from .tree import (
    Question as Question,
)
from .tree import (
    Tree as Tree,
)
from .tree import (
    broken_sums as broken_sums,
)
from .tree import (
    draw_votes as draw_votes,
)
from .tree import (
    known_fractions as known_fractions,
)
from .tree import (
    likeliest_walk as likeliest_walk,
)
from .tree import (
    reached as reached,
)
from .tree import (
    to_conditional as to_conditional,
)
from .tree import (
    to_cumulative as to_cumulative,
)
from .votes import (
    Votes as Votes,
)
from .votes import (
    read_votes as read_votes,
)
