from .calibration.calibrators import (
    CALIBRATORS as CALIBRATORS,
)
from .calibration.calibrators import (
    Calibrator as Calibrator,
)
from .calibration.calibrators import (
    calibrated_mean as calibrated_mean,
)
from .calibration.conformal import (
    EMPTY as EMPTY,
)
from .calibration.conformal import (
    coverage_band as coverage_band,
)
from .calibration.conformal import (
    coverage_law as coverage_law,
)
from .calibration.conformal import (
    cross_sets as cross_sets,
)
from .calibration.fraction_intervals import (
    NOMINAL as NOMINAL,
)
from .calibration.fractions import (
    FractionCalibration as FractionCalibration,
)
from .calibration.fractions import (
    calibrate_fractions as calibrate_fractions,
)
from .calibration.reliability import (
    calibration_intervals as calibration_intervals,
)
from .calibration.reliability import (
    calibration_scores as calibration_scores,
)
from .calibration.run_calibration import (
    Calibration as Calibration,
)
from .calibration.run_calibration import (
    calibrate_run as calibrate_run,
)
from .calibration.run_calibration import (
    calibrated_coverage as calibrated_coverage,
)
from .calibration.run_calibration import (
    calibrated_predictions as calibrated_predictions,
)
from .calibration.run_calibration import (
    calibration_part as calibration_part,
)
from .calibration.run_calibration import (
    describe_calibrators as describe_calibrators,
)
from .calibration.run_calibration import (
    described_calibrators as described_calibrators,
)
from .calibration.run_calibration import (
    is_calibrated as is_calibrated,
)
from .calibration.run_calibration import (
    load_calibrators as load_calibrators,
)
from .calibration.run_calibration import (
    prediction_kind as prediction_kind,
)
from .calibration.run_calibration import (
    require_classes as require_classes,
)
from .calibration.run_calibration import (
    sets_of as sets_of,
)
from .calibration.run_calibration import (
    too_few_for_sets as too_few_for_sets,
)
from .calibration.selective import (
    aurc as aurc,
)
from .calibration.selective import (
    keep_at_accuracies as keep_at_accuracies,
)
from .calibration.selective import (
    keep_at_accuracies_by_halves as keep_at_accuracies_by_halves,
)
from .calibration.selective import (
    risk_coverage as risk_coverage,
)
from .calibration.set_methods import (
    SET_METHODS as SET_METHODS,
)
from .calibration.set_methods import (
    SetMethod as SetMethod,
)
from .explain.attribution import (
    attribute as attribute,
)
from .explain.attribution import (
    chosen_rows as chosen_rows,
)
from .explain.attribution import (
    require_captum as require_captum,
)
from .explain.attribution import (
    require_feature_maps as require_feature_maps,
)
from .explain.attribution_maps import (
    GRID as GRID,
)
from .explain.attribution_maps import (
    NEIGHBOURS as NEIGHBOURS,
)
from .explain.attribution_maps import (
    as_grids as as_grids,
)
from .explain.attribution_maps import (
    neighbour_table as neighbour_table,
)
from .explain.attribution_maps import (
    read_grids as read_grids,
)
from .explain.attribution_maps import (
    read_neighbours as read_neighbours,
)
from .explain.attribution_maps import (
    write_grids as write_grids,
)
from .explain.attribution_methods import (
    ATTRIBUTION_METHODS as ATTRIBUTION_METHODS,
)
from .explain.attribution_methods import (
    AttributionMethod as AttributionMethod,
)
from .explain.explained_model import (
    ExplainedModel as ExplainedModel,
)
from .explain.explained_model import (
    explained_model as explained_model,
)
from .explain.faithfulness import (
    CONTROLS as CONTROLS,
)
from .explain.faithfulness import (
    UNLIKE as UNLIKE,
)
from .explain.faithfulness import (
    Curves as Curves,
)
from .explain.faithfulness import (
    areas as areas,
)
from .explain.faithfulness import (
    curves as curves,
)
from .explain.faithfulness import (
    randomisation as randomisation,
)
from .explain.faithfulness import (
    verdicts as verdicts,
)
from .explain.morphometry import (
    MEASURES as MEASURES,
)
from .explain.morphometry import (
    SUSPECT as SUSPECT,
)
from .explain.morphometry import (
    can_measure as can_measure,
)
from .explain.morphometry import (
    lotz_early_line as lotz_early_line,
)
from .explain.morphometry import (
    lotz_merger_line as lotz_merger_line,
)
from .explain.morphometry import (
    measure_all as measure_all,
)
from .explain.neighbours import (
    ALIKE as ALIKE,
)
from .explain.neighbours import (
    anomaly as anomaly,
)
from .explain.neighbours import (
    digests as digests,
)
from .explain.neighbours import (
    nearest as nearest,
)
from .explain.neighbours import (
    plane as plane,
)
from .explain.neighbours import (
    typical_distance as typical_distance,
)
from .explain.neighbours import (
    whitened as whitened,
)
from .explain.physics import (
    MOST_CHANGED as MOST_CHANGED,
)
from .explain.physics import (
    physics_checks as physics_checks,
)
from .explain.probes import (
    embeddings as embeddings,
)
from .explain.probes import (
    probe_table as probe_table,
)
from .explain.probes import (
    true_concepts as true_concepts,
)
from .explain.probes import (
    truth_of as truth_of,
)
from .explain.shortcuts import (
    evidence_on_features as evidence_on_features,
)
from .explain.shortcuts import (
    mask_folder as mask_folder,
)
from .explain.shortcuts import (
    shortcut_table as shortcut_table,
)
from .explain.shortcuts import (
    true_masks as true_masks,
)
from .galleries import (
    confident_mistakes as confident_mistakes,
)
from .galleries import (
    confusion_cells as confusion_cells,
)
from .galleries import (
    galleries_of as galleries_of,
)
from .galleries import (
    interpret_classes as interpret_classes,
)
from .galleries import (
    most_contested as most_contested,
)
from .galleries import (
    top_losses as top_losses,
)
from .metrics.bootstrap import (
    Interval as Interval,
)
from .metrics.bootstrap import (
    bootstrap as bootstrap,
)
from .metrics.bootstrap import (
    mean_interval as mean_interval,
)
from .metrics.bootstrap import (
    proportion as proportion,
)
from .metrics.bootstrap import (
    ratio_interval as ratio_interval,
)
from .metrics.comparison import (
    best_rows as best_rows,
)
from .metrics.comparison import (
    compare_runs as compare_runs,
)
from .metrics.comparison import (
    paired_differences as paired_differences,
)
from .metrics.comparison import (
    require_distinct as require_distinct,
)
from .metrics.comparison import (
    scores_in as scores_in,
)
from .metrics.comparison import (
    unranked_runs as unranked_runs,
)
from .metrics.expected_fractions import (
    expected_fractions as expected_fractions,
)
from .metrics.metric import (
    DIRECTIONS as DIRECTIONS,
)
from .metrics.metric import (
    METRICS as METRICS,
)
from .metrics.metric import (
    OVER_FOLDS as OVER_FOLDS,
)
from .metrics.metric import (
    Metric as Metric,
)
from .metrics.metric import (
    Predictions as Predictions,
)
from .metrics.metric import (
    class_codes as class_codes,
)
from .metrics.metric import (
    confusion_of as confusion_of,
)
from .metrics.metric import (
    headline_of as headline_of,
)
from .metrics.metric import (
    metric_of as metric_of,
)
from .metrics.metric import (
    metrics_of as metrics_of,
)
from .metrics.metric import (
    true_and_predicted as true_and_predicted,
)
from .metrics.questions import (
    Questions as Questions,
)
from .metrics.questions import (
    questions_of as questions_of,
)
from .metrics.run_metrics import (
    judge_run as judge_run,
)
from .metrics.run_metrics import (
    part_metrics as part_metrics,
)
from .metrics.vote_fractions import (
    entropy as entropy,
)
from .metrics.vote_fractions import (
    kl_divergence as kl_divergence,
)
from .metrics.vote_fractions import (
    question_divergence as question_divergence,
)
from .metrics.vote_fractions import (
    question_entropy as question_entropy,
)
from .metrics.vote_fractions import (
    square_errors as square_errors,
)
from .reproduction import (
    Reproduction as Reproduction,
)
from .reproduction import (
    reproduce_run as reproduce_run,
)
from .robustness.drift import (
    Drift as Drift,
)
from .robustness.drift import (
    drift_between as drift_between,
)
from .robustness.drift import (
    energy as energy,
)
from .robustness.drift import (
    neighbour_distance as neighbour_distance,
)
from .robustness.suites import (
    SUITES as SUITES,
)
from .robustness.suites import (
    Condition as Condition,
)
from .robustness.suites import (
    corrupted_inputs as corrupted_inputs,
)
from .robustness.suites import (
    corruption_error as corruption_error,
)
from .robustness.suites import (
    galaxy_errors as galaxy_errors,
)
from .robustness.suites import (
    read_robustness as read_robustness,
)
from .robustness.suites import (
    require_alike as require_alike,
)
from .robustness.suites import (
    robustness_of as robustness_of,
)
from .robustness.suites import (
    robustness_settings as robustness_settings,
)
from .robustness.suites import (
    write_robustness as write_robustness,
)
from .uncertainty.agreement import (
    QUADRANTS as QUADRANTS,
)
from .uncertainty.agreement import (
    agreed as agreed,
)
from .uncertainty.agreement import (
    entropies_of as entropies_of,
)
from .uncertainty.agreement import (
    uncertainty_quadrants as uncertainty_quadrants,
)
from .uncertainty.agreement import (
    volunteer_fractions as volunteer_fractions,
)
from .uncertainty.decomposition import (
    Uncertainty as Uncertainty,
)
from .uncertainty.decomposition import (
    choose_for_labelling as choose_for_labelling,
)
from .uncertainty.decomposition import (
    decompose_uncertainty as decompose_uncertainty,
)
