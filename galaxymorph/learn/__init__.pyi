from .acceleration.hardware import (
    keep_freed_memory as keep_freed_memory,
)
from .acceleration.hardware import (
    resolve_precision as resolve_precision,
)
from .acceleration.hardware import (
    side_by_side as side_by_side,
)
from .acceleration.hardware import (
    use_device as use_device,
)
from .acceleration.serving import (
    ServingNetwork as ServingNetwork,
)
from .acceleration.serving import (
    fold_batchnorm as fold_batchnorm,
)
from .acceleration.serving import (
    serving_network as serving_network,
)
from .adaptation.batchnorm import (
    ADAPTING_IMAGES as ADAPTING_IMAGES,
)
from .adaptation.batchnorm import (
    adapt_batchnorm as adapt_batchnorm,
)
from .adaptation.domain import (
    target_images as target_images,
)
from .backbones.architectures import (
    build_model as build_model,
)
from .backbones.architectures import (
    pixel_stats as pixel_stats,
)
from .backbones.architectures import (
    require_network as require_network,
)
from .callbacks import (
    ShowProgress as ShowProgress,
)
from .data import (
    image_loader as image_loader,
)
from .description import (
    described_recipe as described_recipe,
)
from .distributed import (
    together as together,
)
from .embeddings import (
    Embeddings as Embeddings,
)
from .embeddings import (
    embed as embed,
)
from .embeddings import (
    last_layer as last_layer,
)
from .embeddings import (
    read_embeddings as read_embeddings,
)
from .fit import (
    help_training as help_training,
)
from .fit import (
    make_learner as make_learner,
)
from .fit import (
    restart_run as restart_run,
)
from .fit import (
    start_run as start_run,
)
from .fit import (
    train_run as train_run,
)
from .galaxies import (
    decode_galaxies as decode_galaxies,
)
from .galaxies import (
    gather_galaxies as gather_galaxies,
)
from .galaxies import (
    join_targets as join_targets,
)
from .galaxies import (
    read_labels as read_labels,
)
from .galaxies import (
    require_same_galaxies as require_same_galaxies,
)
from .galaxies import (
    split_faults as split_faults,
)
from .galaxies import (
    with_images as with_images,
)
from .galaxies import (
    with_targets as with_targets,
)
from .inference import (
    images_of_batch as images_of_batch,
)
from .inference import (
    infer as infer,
)
from .inference import (
    infer_each as infer_each,
)
from .learner import (
    galaxy_dataloaders as galaxy_dataloaders,
)
from .learner import (
    galaxy_learner as galaxy_learner,
)
from .models import (
    describe as describe,
)
from .models import (
    load_network as load_network,
)
from .models import (
    write_backbone as write_backbone,
)
from .predictions import (
    prediction_table as prediction_table,
)
from .presets import (
    RECIPES as RECIPES,
)
from .presets import (
    Preset as Preset,
)
from .presets import (
    make_recipe as make_recipe,
)
from .recipe import (
    Recipe as Recipe,
)
from .recipe import (
    help_of as help_of,
)
from .recipe import (
    item_frame as item_frame,
)
from .recipe import (
    require_views as require_views,
)
from .recipe import (
    without_effect as without_effect,
)
from .recipe_choice import (
    default_recipe as default_recipe,
)
from .runs import (
    Run as Run,
)
from .runs import (
    environment as environment,
)
from .runs import (
    fit_warnings as fit_warnings,
)
from .runs import (
    free_name as free_name,
)
from .runs import (
    held as held,
)
from .runs import (
    locked as locked,
)
from .runs import (
    say_fit_warnings as say_fit_warnings,
)
from .runs import (
    write_table as write_table,
)
from .targets.columns import (
    deviation_columns as deviation_columns,
)
from .targets.columns import (
    label_words as label_words,
)
from .targets.columns import (
    loss_columns as loss_columns,
)
from .targets.columns import (
    loss_entry as loss_entry,
)
from .targets.columns import (
    loss_name as loss_name,
)
from .targets.columns import (
    loss_words as loss_words,
)
from .targets.columns import (
    output_names as output_names,
)
from .targets.columns import (
    predicted_columns as predicted_columns,
)
from .targets.columns import (
    target_of as target_of,
)
from .targets.columns import (
    true_columns as true_columns,
)
from .targets.loss import (
    make_link as make_link,
)
from .targets.loss import (
    make_loss as make_loss,
)
from .targets.registry import (
    TARGETS as TARGETS,
)
from .targets.registry import (
    Loss as Loss,
)
from .targets.registry import (
    Target as Target,
)
from .targets.registry import (
    losses_by_target as losses_by_target,
)
from .targets.registry import (
    register_loss as register_loss,
)
from .targets.tree import (
    CONCENTRATIONS as CONCENTRATIONS,
)
from .targets.tree_head import (
    TreeHead as TreeHead,
)
from .targets.tree_head import (
    concentrations as concentrations,
)
from .views import (
    dihedral as dihedral,
)
