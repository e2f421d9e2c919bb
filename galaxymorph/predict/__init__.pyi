from .catalogue import (
    PARTITION as PARTITION,
)
from .catalogue import (
    predict_catalogue as predict_catalogue,
)
from .explanations import (
    Explainer as Explainer,
)
from .explanations import (
    Explanation as Explanation,
)
from .explanations import (
    Neighbour as Neighbour,
)
from .explanations import (
    load_explainer as load_explainer,
)
from .exporters import (
    EXPORTERS as EXPORTERS,
)
from .exporters import (
    Export as Export,
)
from .exporters import (
    Exporter as Exporter,
)
from .exporters import (
    export_run as export_run,
)
from .failures import (
    error_kind as error_kind,
)
from .images import (
    drop_empty_frames as drop_empty_frames,
)
from .images import (
    expand_catalogues as expand_catalogues,
)
from .images import (
    expand_images as expand_images,
)
from .images import (
    say_empty_frames as say_empty_frames,
)
from .images import (
    submission_images as submission_images,
)
from .images import (
    usable_images as usable_images,
)
from .onnx_files import (
    Quantization as Quantization,
)
from .onnx_files import (
    quantize_run as quantize_run,
)
from .options import (
    PredictionOptions as PredictionOptions,
)
from .outliers import (
    measure_drift as measure_drift,
)
from .outliers import (
    outlier_scores as outlier_scores,
)
from .overlap import (
    add_split_parts as add_split_parts,
)
from .prediction import (
    Predictions as Predictions,
)
from .prediction import (
    predict_files as predict_files,
)
from .prediction import (
    say_uncalibrated as say_uncalibrated,
)
from .prediction import (
    submit_files as submit_files,
)
from .predictors.averaging import (
    average_predictors as average_predictors,
)
from .predictors.base import (
    BasePredictor as BasePredictor,
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
from .predictors.loading import (
    needs_pytorch as needs_pytorch,
)
from .predictors.protocol import (
    Predictor as Predictor,
)
from .submission import (
    require_submittable as require_submittable,
)
from .submission import (
    write_submission as write_submission,
)
from .tables import (
    add_intervals as add_intervals,
)
from .tables import (
    has_intervals as has_intervals,
)
from .tables import (
    predicted_table as predicted_table,
)
from .triage import (
    choose_galaxies as choose_galaxies,
)
from .triage import (
    triage_files as triage_files,
)
from .uncertainty_sources import (
    UNCERTAINTY_SOURCES as UNCERTAINTY_SOURCES,
)
from .uncertainty_sources import (
    UncertaintySource as UncertaintySource,
)
from .uncertainty_sources import (
    open_uncertainty_source as open_uncertainty_source,
)
from .uncertainty_study import (
    UncertaintyStudy as UncertaintyStudy,
)
from .uncertainty_study import (
    study_uncertainty as study_uncertainty,
)
