"""ArviZ, imported quietly: 0.23 announces its successor once a day with a FutureWarning at import, and a build fails on any warning."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
    import arviz as az

__all__ = ["az"]
