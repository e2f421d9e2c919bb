from .catalogue import (
    predict_catalogue as predict_catalogue,
)
from .explanations import (
    Like as Like,
)
from .explanations import (
    Look as Look,
)
from .explanations import (
    Looker as Looker,
)
from .explanations import (
    load_looker as load_looker,
)
from .export import (
    Export as Export,
)
from .export import (
    export_run as export_run,
)
from .failures import (
    kind_of as kind_of,
)
from .images import (
    expand_catalogues as expand_catalogues,
)
from .images import (
    expand_images as expand_images,
)
from .images import (
    say_empty as say_empty,
)
from .images import (
    submission_images as submission_images,
)
from .images import (
    usable_images as usable_images,
)
from .images import (
    with_galaxies as with_galaxies,
)
from .outliers import (
    drift_of as drift_of,
)
from .outliers import (
    outlier_columns as outlier_columns,
)
from .overlap import (
    with_parts as with_parts,
)
from .predictors.averaging import (
    averaged as averaged,
)
from .predictors.loading import (
    is_run as is_run,
)
from .predictors.loading import (
    load_predictor as load_predictor,
)
from .predictors.loading import (
    model_id as model_id,
)
from .quantization import (
    Quantization as Quantization,
)
from .quantization import (
    quantize_run as quantize_run,
)
from .submission import (
    require_submittable as require_submittable,
)
from .submission import (
    write_submission as write_submission,
)
from .tables import (
    has_intervals as has_intervals,
)
from .tables import (
    with_intervals as with_intervals,
)
from .triage import (
    choose_galaxies as choose_galaxies,
)
from .uncertainty_sources import (
    SOURCES as SOURCES,
)
from .uncertainty_sources import (
    open_source as open_source,
)
from .uncertainty_study import (
    UncertaintyStudy as UncertaintyStudy,
)
from .uncertainty_study import (
    study_uncertainty as study_uncertainty,
)
