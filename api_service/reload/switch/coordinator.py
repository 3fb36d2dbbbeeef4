"""Coordinate a switch in the main process: commit a generation when all workers have it loaded.

The main process does it because it outlives every worker, knows which of them live, can replace
one, and is the only writer of the shared generations; when it dies, all workers end. It opens no
model and reads no signal: workers report the desired version. One thread of its own.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import structlog

from api_service.reload.policy import VersionKey
from api_service.reload.switch import policy
from api_service.reload.switch.channel import SwitchChannel
from api_service.reload.switch.messages import (
    Committed,
    Failed,
    FromMain,
    FromWorker,
    Opening,
    Ready,
    Refused,
    Register,
    Registered,
    Retry,
    Superseded,
    Unregister,
    encode,
    from_worker,
)
from api_service.reload.switch.participants import Participant, SwitchedModel
from api_service.reload.switch.policy import (
    Commit,
    Refuse,
    Replace,
    Supersede,
    Switch,
    Wait,
    WorkerStanding,
)
from api_service.reload.switch.shared_generations import CAPACITY, SharedGenerations
from shared.daemon.background import run_in_background

log = structlog.get_logger()

_REFUSALS_KEPT = 20


class SwitchCoordinator:
    """See the module docstring.

    Args:
        timeout_s: beyond the time that opening took the first, others may take this much longer.
    """

    def __init__(self, generations: SharedGenerations, timeout_s: float) -> None:
        self._generations = generations
        self._timeout_s = timeout_s
        self._models: dict[str, SwitchedModel] = {}
        self._workers: dict[int, Participant] = {}
        self._new: list[Participant] = []
        self._undecided: set[str] = set()  # models that something was said of since they settled
        self._n_workers = 0
        self._wake_reader, self._wake_writer = Pipe(duplex=False)
        self._lock = threading.Lock()

    def start(self) -> None:
        run_in_background("switch", self._run_once)

    def open_channel(self) -> tuple[SwitchChannel, Callable[[Callable[[], None]], None]]:
        """A line for a worker that is about to be spawned; any thread may call.

        Returns:
            The worker's end, and what to call once it runs, with what ends it for good without
            waiting.
        """
        ours, theirs = Pipe()

        def connect(end: Callable[[], None]) -> None:
            theirs.close()  # the worker has it: when it dies, our end must notice
            self.add(ours, end)

        return SwitchChannel(theirs, self._generations), connect

    def add(self, channel: Connection, end: Callable[[], None]) -> None:
        """Listen to a worker; any thread may call."""
        with self._lock:
            self._n_workers += 1
            self._new.append(Participant(self._n_workers, channel, end))
        self._wake_writer.send_bytes(b"!")

    # -- the thread ------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Hear what there is to hear, then do what follows from it."""
        until_s = self._decide_all()
        timeout_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        channels = {worker.channel: worker for worker in self._workers.values()}
        for ready in wait([self._wake_reader, *channels], timeout_s):
            if ready is self._wake_reader:
                self._wake_reader.recv_bytes()
                with self._lock:
                    new, self._new = self._new, []
                self._workers.update({worker.worker_id: worker for worker in new})
            else:
                self._handle_all(channels[ready])  # type: ignore[index]

    def _handle_all(self, worker: Participant) -> None:
        try:
            while True:
                self._handle(worker, from_worker(worker.channel.recv_bytes()))
                if not worker.channel.poll():
                    return
        except (EOFError, OSError):
            self._remove_dead(worker)

    def _handle(self, worker: Participant, message: FromWorker) -> None:
        now_s = time.monotonic()
        match message:
            case Register(name):
                self._register(worker, name, now_s)
            case Unregister(name):
                model = self._model(name)
                model.workers.pop(worker.worker_id, None)
                if not model.workers:
                    self._reset(model)  # nobody serves it, and nobody died: begin anew
            case Opening(name, version, generation):
                worker.opening[name] = now_s
                self._change(worker, name, opening=(version, generation), opening_s=now_s)
            case Ready(name, version, generation):
                began_s = worker.opening.get(name, now_s)
                self._end_opening(worker, name, now_s)
                self._change(
                    worker,
                    name,
                    opening=None,
                    ready=(version, generation),
                    ready_s=now_s,
                    load_s=now_s - began_s,
                )
                self._send_earlier_decision(worker, name, (version, generation))
            case Failed(name, version, generation, reason):
                self._end_opening(worker, name, now_s)
                self._change(worker, name, opening=None)
                self._failed(worker, name, (version, generation), reason)
            case Retry(name, _, _, _):
                self._end_opening(worker, name, now_s)

    def _register(self, worker: Participant, name: str, now_s: float) -> None:
        model = self._model(name)
        if worker.worker_id not in model.workers:
            if model.missing_since_s:
                model.missing_since_s.pop()
            replacement_for_generation = model.replaced_for.pop() if model.replaced_for else 0
            model.workers[worker.worker_id] = WorkerStanding(
                joined_s=now_s, replacement_for_generation=replacement_for_generation
            )
        version, generation = model.committed or (None, 0)
        self._send(worker, Registered(name, model.index, version, generation, dict(model.refused)))

    def _send_earlier_decision(self, worker: Participant, name: str, key: VersionKey) -> None:
        """What was decided before this worker was ready."""
        model = self._model(name)
        if key == model.committed:
            self._send(worker, Committed(name, *key))
        elif key[1] in model.refused:
            self._send(worker, Refused(name, key[1], model.refused[key[1]]))
        elif model.committed is not None and 0 < key[1] < model.committed[1]:
            self._send(worker, Superseded(name, key[1]))

    def _failed(self, worker: Participant, name: str, key: VersionKey, reason: str) -> None:
        """One cannot: nobody shall. Unless it serves already, or another may be the first."""
        model = self._model(name)
        if key == model.committed:
            others = [
                one for worker_id, one in model.workers.items() if worker_id != worker.worker_id
            ]
            if not any(other.ready for other in others):
                self._reset(model)
            return
        if key[1] in model.refused or key[1] == 0:
            return
        self._refuse(name, model, key, reason)

    def _refuse(self, name: str, model: SwitchedModel, key: VersionKey, reason: str) -> None:
        model.refused[key[1]] = reason
        while len(model.refused) > _REFUSALS_KEPT:
            del model.refused[min(model.refused)]
        log.error("switch_refused", model=name, version=key[0], generation=key[1], reason=reason)
        self._send_all(model, Refused(name, key[1], reason))

    def _remove_dead(self, worker: Participant) -> None:
        """A worker is dead. One that died by itself in the middle of a switch is expected back."""
        del self._workers[worker.worker_id]
        with contextlib.suppress(OSError):
            worker.channel.close()
        for name, model in self._models.items():
            status = model.workers.pop(worker.worker_id, None)
            if status is None:
                continue
            self._undecided.add(name)
            if not worker.is_ended and (
                status.opening is not None or status.ready != model.committed
            ):
                model.missing_since_s.append(time.monotonic())

    # -- what follows ----------------------------------------------------------------------------

    def _decide_all(self) -> float | None:
        """Act until there is only waiting left; when to look again, on the monotonic clock."""
        waits = {name: self._decide(name, self._models[name]) for name in self._undecided}
        self._undecided = {name for name, until_s in waits.items() if until_s is not None}
        return min((until_s for until_s in waits.values() if until_s is not None), default=None)

    def _decide(self, name: str, model: SwitchedModel) -> float | None:
        while True:
            verdict = policy.decide(
                Switch(
                    {worker_id: self._status_of(name, worker_id) for worker_id in model.workers},
                    model.committed,
                    model.refused,
                    tuple(model.missing_since_s),
                ),
                time.monotonic(),
                self._timeout_s,
            )
            match verdict:
                case Wait(until_s):
                    return until_s
                case Commit(key):
                    self._commit(name, model, key)
                case Supersede(generations):
                    for worker_id, generation in generations.items():
                        self._send(self._workers[worker_id], Superseded(name, generation))
                        model.workers[worker_id] = replace(model.workers[worker_id], ready=None)
                case Replace(worker_ids, key):
                    for worker_id in worker_ids:
                        self._replace(name, model, worker_id, key)
                case Refuse(key, worker_ids):
                    self._refuse(
                        name,
                        model,
                        key,
                        f"{key[0]}: {len(worker_ids)} of the workers could not open it in time,"
                        " also after it was replaced.",
                    )

    def _commit(self, name: str, model: SwitchedModel, key: VersionKey) -> None:
        # The flip first: who hears of it must find it done.
        if model.index >= 0:
            self._generations.commit(model.index, key[1])
        model.committed = key
        model.missing_since_s.clear()
        model.replaced_for.clear()
        self._send_all(model, Committed(name, *key))
        log.info("switched", model=name, version=key[0], generation=key[1])

    def _replace(self, name: str, model: SwitchedModel, worker_id: int, key: VersionKey) -> None:
        """End a worker; the main loop sees the dead process and starts another."""
        worker = self._workers[worker_id]
        # It stays one of those that must be ready: until it is gone it answers with the old one.
        model.workers[worker_id] = replace(model.workers[worker_id], is_ending=True)
        model.replaced_for.append(key[1])
        log.error(
            "worker_replaced",
            reason="the other workers wait for it to load the new version",
            model=name,
            version=key[0],
            generation=key[1],
            waited_s=self._timeout_s,
        )
        if not worker.is_ended:
            worker.is_ended = True
            worker.end()

    # -- small things ----------------------------------------------------------------------------

    def _reset(self, model: SwitchedModel) -> None:
        """Nothing serves any more; whoever is ready next begins."""
        model.committed = None
        if model.index >= 0:
            self._generations.commit(model.index, 0)

    def _model(self, name: str) -> SwitchedModel:
        self._undecided.add(name)
        found = self._models.get(name)
        if found is None:
            n = len(self._models)
            if n == CAPACITY:
                log.warning(
                    "switch_capacity_reached",
                    sentence=f"{CAPACITY} models switch in all workers at once; further models are"
                    " swapped by each worker alone.",
                )
            found = self._models[name] = SwitchedModel(n if n < CAPACITY else -1)
        return found

    def _change(self, worker: Participant, name: str, **changed: object) -> None:
        model = self._model(name)
        if worker.worker_id in model.workers:
            status = model.workers[worker.worker_id]
            model.workers[worker.worker_id] = replace(status, **changed)  # type: ignore[arg-type]

    def _end_opening(self, worker: Participant, name: str, now_s: float) -> None:
        worker.opening.pop(name, None)
        worker.idle_since_s = now_s

    def _status_of(self, name: str, worker_id: int) -> WorkerStanding:
        """The standing with what the worker does elsewhere."""
        worker = self._workers[worker_id]
        others = [since_s for model, since_s in worker.opening.items() if model != name]
        return replace(
            self._models[name].workers[worker_id],
            idle_since_s=None if others else worker.idle_since_s,
            busy_since_s=min(others, default=0.0),
        )

    def _send_all(self, model: SwitchedModel, message: FromMain) -> None:
        for worker_id in model.workers:
            self._send(self._workers[worker_id], message)

    def _send(self, worker: Participant, message: FromMain) -> None:
        with contextlib.suppress(OSError, ValueError):
            # A worker that hangs does not empty its line, and waiting here would hold up all
            # others. What it misses it need not know: it is replaced.
            if select.select([], [worker.channel.fileno()], [], 0)[1]:
                worker.channel.send_bytes(encode(message))
