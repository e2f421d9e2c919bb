from .architectures import split_groups as split_groups
