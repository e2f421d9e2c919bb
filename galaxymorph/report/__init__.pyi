from .figures.calibration_figures import (
    draw_calibration as draw_calibration,
)
from .figures.calibration_figures import (
    print_calibration as print_calibration,
)
from .figures.explanation_figures import (
    draw_similar as draw_similar,
)
from .figures.explanation_figures import (
    explain_run as explain_run,
)
from .figures.fraction_figures import (
    draw_fraction_calibration as draw_fraction_calibration,
)
from .figures.fraction_figures import (
    print_fraction_calibration as print_fraction_calibration,
)
from .figures.robustness_figures import (
    draw_robustness as draw_robustness,
)
from .figures.run_figures import (
    draw_gallery as draw_gallery,
)
from .figures.run_figures import (
    draw_run as draw_run,
)
from .figures.run_figures import (
    redraw as redraw,
)
from .figures.uncertainty_figures import (
    draw_uncertainty as draw_uncertainty,
)
from .figures.uncertainty_figures import (
    print_uncertainty as print_uncertainty,
)
from .figures.vote_figures import (
    draw_votes as draw_votes,
)
from .figures.vote_figures import (
    draw_walk as draw_walk,
)
from .page import (
    refresh_report as refresh_report,
)
from .page import (
    write_comparison as write_comparison,
)
from .page import (
    write_report as write_report,
)
from .server.answers import (
    load_model as load_model,
)
from .server.server import (
    ModelServer as ModelServer,
)
from .tables import (
    print_check as print_check,
)
from .tables import (
    print_comparison as print_comparison,
)
from .tables import (
    print_metrics as print_metrics,
)
from .tables import (
    print_predictions as print_predictions,
)
from .tables import (
    print_robustness as print_robustness,
)
from .tables import (
    print_rows as print_rows,
)
