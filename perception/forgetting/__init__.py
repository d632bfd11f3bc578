"""Forgetting a person: what perception knows of somebody, how it is removed, and a search that shows it is gone.

``python -m sim.forget`` joins this with the simulator's session logs and MLflow.  :class:`Forgetting` is what it calls.
"""

from perception.forgetting.forgetting import Forgetting as Forgetting
from perception.forgetting.places import remove_expired as remove_expired
