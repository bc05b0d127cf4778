"""The simulated drive behind the Helper's interface, in the same process, which allows thousands of sweeps a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from aio_tuned.helper.protocol import Hello
from aio_tuned.model.measurement import Engine

if TYPE_CHECKING:
    from typing_extensions import Self

    from aio_tuned.helper.process import Helper
    from aio_tuned.model.measurement import Request, Sample
    from fakes.simulated.drive import Drive

# The memory of a host whose kernel gives huge pages on request only, which nobody has fragmented yet.
THP_POLICY, MEAN_RUN_BYTES = "madvise", 128 << 10


class SimulatedHelper:
    """A stand-in for a Helper: `run_sweep(SimulatedHelper(Drive(model, seed)).helper, order)`.

    `fill_bytes` are written before its hello, as a scratch file is.
    """

    stuck = False

    def __init__(self, drive: Drive, *, fill_bytes: int = 0) -> None:
        self.drive = drive
        self._fill_bytes = fill_bytes
        self.written_bytes = 0

    @property
    def helper(self) -> Helper:
        """This object, typed as the Helper that a sweep requires."""
        return cast("Helper", self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def hello(self) -> Hello:
        if self._fill_bytes:
            self.drive.fill(self._fill_bytes)
            self.written_bytes += self._fill_bytes
        return Hello(
            version="simulated",
            dio_alignment_bytes=self.drive.model.logical_block_bytes,
            buffer="simulated",
            drop_caches=True,
            no_drop_reason="",
            counters_live=self.drive.model.counters,
            fill_bytes=self._fill_bytes,
            no_engine=dict.fromkeys(get_args(Engine), ""),
            huge_share=0.0,
            mean_run_bytes=MEAN_RUN_BYTES,
            thp_policy=THP_POLICY,
        )

    async def measure(self, request: Request) -> Sample:
        sample = self.drive.visit(request)
        if request.direction == "write":
            self.written_bytes += sample.written_bytes
        return sample

    async def finish(self) -> int:
        return self.written_bytes

    async def close(self) -> None:
        pass
