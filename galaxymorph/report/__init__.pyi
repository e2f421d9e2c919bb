from .analyses import (
    Analysis as Analysis,
)
from .analyses import (
    calibrate as calibrate,
)
from .analyses import (
    explain as explain,
)
from .analyses import (
    explain_galaxy as explain_galaxy,
)
from .analyses import (
    interpret as interpret,
)
from .analyses import (
    interpret_galaxy as interpret_galaxy,
)
from .analyses import (
    robustness as robustness,
)
from .analyses import (
    uncertainty as uncertainty,
)
from .analysis_options import (
    CheckOptions as CheckOptions,
)
from .analysis_options import (
    FitOptions as FitOptions,
)
from .analysis_options import (
    RobustnessOptions as RobustnessOptions,
)
from .catalogue_check import (
    CatalogueCheck as CatalogueCheck,
)
from .catalogue_check import (
    check_catalogue as check_catalogue,
)
from .catalogue_check import (
    print_check as print_check,
)
from .figures.contact_sheets import (
    draw_gallery as draw_gallery,
)
from .figures.run_figures import (
    draw_run as draw_run,
)
from .fitting import (
    fit as fit,
)
from .fitting import (
    pretrain as pretrain,
)
from .metric_tables import (
    print_calibration as print_calibration,
)
from .metric_tables import (
    print_comparison as print_comparison,
)
from .metric_tables import (
    print_metrics as print_metrics,
)
from .metric_tables import (
    print_robustness as print_robustness,
)
from .metric_tables import (
    print_uncertainty as print_uncertainty,
)
from .page import (
    renew_report as renew_report,
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
from .server.server import (
    open_server as open_server,
)
from .side_by_side import (
    Comparison as Comparison,
)
from .side_by_side import (
    compare as compare,
)
from .tables import (
    print_predictions as print_predictions,
)
from .tables import (
    print_rows as print_rows,
)
