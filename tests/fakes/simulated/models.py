"""All drive models, and the third of them, chosen once from every family, on which an algorithm is validated."""

from __future__ import annotations

from fakes.simulated.consumer import CONSUMER
from fakes.simulated.enterprise import ENTERPRISE
from fakes.simulated.qlc import QLC
from fakes.simulated.volumes import CLOUD, RAID0, VIRTIO

MODELS = (*ENTERPRISE, *CONSUMER, *QLC, *RAID0, *CLOUD, *VIRTIO)
NAMED = {model.name: model for model in MODELS}
HELD_BACK = tuple(model for model in MODELS if model.held_back)
DEVELOPED_WITH = tuple(model for model in MODELS if not model.held_back)
