"""A simulated drive, which answers requests in virtual time, and whose state depends on earlier requests."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.model.measurement import Sample
from fakes.simulated.asked import in_flight_of, is_by_size, requests_of, row_of, written_part
from fakes.simulated.by_size import P99_SIGMAS
from fakes.simulated.dice import Dice
from fakes.simulated.truth import SETTINGS, Row, rows
from fakes.simulated.weather import Climate, Periodic, Spells, Stalling, Store

if TYPE_CHECKING:
    from aio_tuned.model.measurement import BufferPages, Request
    from aio_tuned.model.setting import Direction, Setting
    from fakes.simulated.model import DriveModel

MAX_TRANSFERS = 65536
# The time that a visit takes besides its transfers, and the time that dropping the page cache adds.
_BETWEEN_NS = 60_000
_DROP_NS = 4_000_000
# The time from the last completion until the caller knows of it.
_RETURN_NS = 14_000
# The error of a quantile of n lognormal times is this many times their sigma over the root of n.
_ERROR_OF_P50, _ERROR_OF_P99 = 1.25, 3.73
# The helper's histogram has this many buckets for each power of two.
_BUCKETS = 16


class Mood(NamedTuple):
    """The part of a visit's slowness that repetition does not average out.

    `climate_log` is the logarithm of Climate.factor(), and `behind_cliff` is whether the fast store was full.
    """

    climate_log: float
    behind_cliff: bool


def _edge_ns(time_ns: float) -> int:
    """Return the upper edge of the bucket of the helper's histogram that holds the time."""
    width = 2.0 ** (math.frexp(time_ns)[1] - 1) / _BUCKETS
    return max(1, int((time_ns // width + 1) * width) - 1)


class Drive:
    """A drive of a model; equal seeds and requests give equal answers.

    A slower drive affects a setting in proportion to the share of the drive that it uses: a setting that waits for
    latencies loses little by a lower ceiling. The `journal` has the mood of each visit by its request's id. The
    `memory` is that of requests which name none.
    """

    def __init__(self, model: DriveModel, seed: int, memory: BufferPages = "consumer") -> None:
        self.model = model
        self.memory = memory
        self.now_s = 0.0
        self._dice = dice = Dice(seed, model.name)
        noise, foreign = model.noise, model.foreign
        self._slow = (Periodic if noise.periodic else Spells)(dice, noise.slow_s, noise.fast_s)
        self._others = Spells(dice, foreign.burst_s, foreign.quiet_s)
        self._stalling = Stalling(dice, model.stalls)
        self.climate = Climate(dice, model.drift)
        self.journal: dict[int, Mood] = {}
        self.stores: dict[Direction, Store] = {}
        for direction in ("read", "write"):
            if (cliff := model.side(direction).cliff) is not None:
                self.stores[direction] = Store(cliff)
        self._tables: dict[tuple[Direction, int, bool], dict[Setting, Row]] = {}
        self._rare: dict[tuple[Request, bool], Row] = {}
        self._has_read = False

    def true_bytes_per_s(self, direction: Direction, setting: Setting, transfer_bytes: int) -> float:
        """Return the throughput of the setting on a fresh drive, without noise."""
        return transfer_bytes * 1e9 / self._usual(direction, setting, transfer_bytes).transfer_ns

    def idle(self, seconds: float) -> None:
        """Let time pass without requests, in which the drive cools and its stores recover."""
        self._pass_time(seconds, moving=None)

    def fill(self, count: int) -> float:
        """Write that many bytes once, as into a scratch file; return the seconds that it takes."""
        side = self.model.write
        fast = self.stores["write"].take(count) if "write" in self.stores else 1.0
        behind = side.cliff.bytes_per_s if side.cliff is not None else side.bytes_per_s
        seconds = count * (fast / side.bytes_per_s + (1 - fast) / behind)
        self._pass_time(seconds, moving="write")
        return seconds

    def visit(self, request: Request) -> Sample:
        """Make the requested transfers, one after the other, and return the sample."""
        direction, size = request.direction, request.transfer_bytes
        row = self._row(request)
        planned_ns = max(row.transfer_ns * request.min_transfers, request.min_ns)
        if request.max_bytes:
            planned_ns = max(row.transfer_ns, min(planned_ns, row.transfer_ns * (request.max_bytes // size)))
        climate = self.climate.factor(self.now_s)
        factor = self._slowed(climate, row.strain, planned_ns / 1e9)
        factor *= self._mode(request.setting.io_parallelism)
        times = self._transfers(request, factor, row)
        store = self.stores.get(direction)
        self.journal[request.id] = Mood(math.log(climate), behind_cliff=store is not None and store.full)
        elapsed_ns = sum(times)
        if lost_s := self._stalling.lost_s(self.now_s, self.now_s + elapsed_ns / 1e9):
            place = int(self._dice.uniform() * len(times)) % len(times)
            times[place] += int(lost_s * 1e9)
            elapsed_ns += int(lost_s * 1e9)
        total = len(times) * size
        foreign = self._foreign_bytes(elapsed_ns / 1e9, total)
        groups_ns = self._groups_ns(request, elapsed_ns)
        first_read = direction == "read" and not self._has_read
        dropped = first_read if request.drop_caches is None else request.drop_caches
        self._has_read = self._has_read or direction == "read"
        between_ns = _BETWEEN_NS + (_DROP_NS if dropped else 0)
        self._pass_time(elapsed_ns / 1e9, moving=direction)
        self._pass_time(between_ns / 1e9, moving=None)
        p50_ns, p99_ns = self._latencies(request, row, factor, len(times), lost_s)
        written = written_part(request, total)
        live = self.model.counters
        return Sample(
            request=request,
            transfers_ns=tuple(times),
            bytes=total,
            elapsed_ns=elapsed_ns,
            wall_ns=elapsed_ns + between_ns,
            latency_p50_ns=p50_ns,
            latency_p99_ns=p99_ns,
            cache_verdict="device" if live else "unknown",
            cache_dropped=dropped,
            device_read_bytes=total - written + foreign if live else 0,
            device_write_bytes=written if live else 0,
            cpu_ns=int(row.cpu_ns * len(times)),
            requests=len(times) * requests_of(request),
            return_ns=_RETURN_NS,
            groups_ns=groups_ns,
            mix_written_bytes=written if request.read_percent else None,
        )

    def _row(self, request: Request, *, beyond: bool = False) -> Row:
        usual = replace(
            request,
            engine="libaio",
            access="sequential",
            read_percent=0,
            memory=None,
            groups=1,
            new_file=False,
            max_foreign_bytes=0,
        )
        if request == usual and self.memory == "consumer":
            return self._usual(request.direction, request.setting, request.transfer_bytes, beyond=beyond)
        # What a request asks for, without its number and its limits.
        alike = replace(
            request, id=0, seed=0, min_ns=0, min_transfers=1, max_bytes=0, max_foreign_bytes=0, purpose="pass"
        )
        row = self._rare.get((alike, beyond))
        if row is None:
            row = row_of(self.model, request, self.memory, beyond_cliff=beyond)
            self._rare[alike, beyond] = row
        return row

    def _usual(self, direction: Direction, setting: Setting, transfer_bytes: int, *, beyond: bool = False) -> Row:
        table = self._tables.get((direction, transfer_bytes, beyond))
        if table is None:
            table = dict(rows(self.model, direction, SETTINGS, transfer_bytes, beyond_cliff=beyond))
            self._tables[direction, transfer_bytes, beyond] = table
        row = table.get(setting)
        if row is None:
            found = rows(self.model, direction, (setting,), transfer_bytes, beyond_cliff=beyond)
            row = table[setting] = found[setting]
        return row

    def _slowed(self, climate: float, strain: float, seconds: float) -> float:
        """Return the factor by which the visit takes longer than on a fresh drive."""
        noise, dice, foreign = self.model.noise, self._dice, self.model.foreign
        end_s = self.now_s + seconds
        slowness = 1 / climate
        if noise.slow_s:
            slowness *= 1 + (noise.slow_factor - 1) * self._slow.share(self.now_s, end_s)
        self._burst = self._others.share(self.now_s, end_s) if foreign.burst_s else 0.0
        if self._burst:
            slowness /= 1 - foreign.share * self._burst
        factor: float = slowness**strain * math.exp(noise.visit * dice.normal())
        if noise.tail_share and dice.uniform() < noise.tail_share:
            factor *= 1 + noise.tail_scale * dice.pareto(noise.tail_index)
        return factor

    def _mode(self, threads: int) -> float:
        """Return the slowness of the mode that the visit is in, relative to the mean of its modes."""
        noise = self.model.noise
        if not noise.mode_share or threads > noise.mode_threads:
            return 1.0
        slow = self._dice.uniform() < noise.mode_share
        return (noise.mode_factor if slow else 1.0) / noise.mean_factor(threads)

    def _transfers(self, request: Request, factor: float, row: Row) -> list[int]:
        size, min_ns, least = request.transfer_bytes, request.min_ns, request.min_transfers
        most = min(MAX_TRANSFERS, max(1, request.max_bytes // size)) if request.max_bytes else MAX_TRANSFERS
        sigma, normal, exp = self.model.noise.transfer, self._dice.normal, math.exp
        store = self.stores.get(request.direction)
        each_ns, beyond_ns = row.transfer_ns * factor, 0.0
        if store is not None:
            beyond = self._row(request, beyond=True)
            beyond_ns = max(each_ns, beyond.transfer_ns * factor)
        stored = size if request.direction == "read" else written_part(request, size)
        times: list[int] = []
        elapsed_ns = 0
        while len(times) < most and (elapsed_ns < min_ns or len(times) < least or not times):
            mean_ns = each_ns
            if store is not None:
                fast = store.take(stored)
                mean_ns = fast * each_ns + (1 - fast) * beyond_ns
            taken_ns = max(1, int(mean_ns * exp(sigma * normal())))
            times.append(taken_ns)
            elapsed_ns += taken_ns
        return times

    def _latencies(self, request: Request, row: Row, factor: float, transfers: int, lost_s: float) -> tuple[int, int]:
        """Return the median time of a request, and that which one in a hundred exceeds.

        With requests by size both have the error of their number, and are the upper edges of the helper's buckets. A
        stall is one in a hundred if it holds back as many.
        """
        latency_ns = int(row.latency_ns * factor)
        if not is_by_size(request):
            return latency_ns, int(latency_ns * row.tail + lost_s * 1e9)
        count, normal = transfers * requests_of(request), self._dice.normal
        sigma = math.log(row.tail) / P99_SIGMAS / math.sqrt(count)
        p50_ns = latency_ns * math.exp(_ERROR_OF_P50 * sigma * normal())
        p99_ns = max(p50_ns, latency_ns * row.tail * math.exp(_ERROR_OF_P99 * sigma * normal()))
        if in_flight_of(request) * 100 >= count:
            p99_ns += lost_s * 1e9
        return _edge_ns(p50_ns), _edge_ns(p99_ns)

    def _groups_ns(self, request: Request, elapsed_ns: int) -> tuple[int, ...]:
        """Return when each group had done its part: the last of them, which is any, ends the transfers."""
        if request.groups == 1:
            return ()
        spread = self.model.side(request.direction).spread
        ends = [1 - spread * self._dice.uniform() for _ in range(request.groups)]
        return tuple(int(elapsed_ns * end / max(ends)) for end in ends)

    def _foreign_bytes(self, seconds: float, total: int) -> int:
        foreign = self.model.foreign
        taken = foreign.share * self._burst
        return int(foreign.trickle_bytes_per_s * seconds + total * taken / (1 - taken))

    def _pass_time(self, seconds: float, moving: Direction | None) -> None:
        self.now_s += seconds
        self.climate.pass_time(seconds, busy=moving is not None)
        for direction, store in self.stores.items():
            if direction != moving:
                store.rest(seconds)
