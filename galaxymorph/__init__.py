"""GalaxyMorph: Galaxy Zoo images and volunteer votes into morphology models."""

__version__ = "0.1.0"
