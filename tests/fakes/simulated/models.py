"""All drive models, and those on which an algorithm is validated: a third of each family, half of other physics."""

from __future__ import annotations

from fakes.simulated.consumer import CONSUMER
from fakes.simulated.enterprise import ENTERPRISE
from fakes.simulated.other_physics import OTHER
from fakes.simulated.qlc import QLC
from fakes.simulated.volumes import CLOUD, RAID0, VIRTIO

MODELS = (*ENTERPRISE, *CONSUMER, *QLC, *RAID0, *CLOUD, *VIRTIO, *OTHER)
NAMED = {model.name: model for model in MODELS}
HELD_BACK = tuple(model for model in MODELS if model.held_back)
DEVELOPED_WITH = tuple(model for model in MODELS if not model.held_back)
