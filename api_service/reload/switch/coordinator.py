"""The main process's half of a switch: hears the workers, flips the cell, ends who holds it up.

The main process does it because it alone outlives every worker, knows which of them live, can
replace one, and is the single writer that the board needs; and when it dies, they all end. It
opens no model and reads no signal: workers tell it what is wanted. One thread of its own.
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
    Join,
    Later,
    Leave,
    Opening,
    Place,
    Ready,
    Refused,
    Superseded,
    encode,
    from_worker,
)
from api_service.reload.switch.participants import Participant, SwitchedModel
from api_service.reload.switch.policy import (
    Commit,
    Refuse,
    Replace,
    Standing,
    Supersede,
    Switch,
    Wait,
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

    def __init__(self, board: SharedGenerations, timeout_s: float) -> None:
        self._board = board
        self._timeout_s = timeout_s
        self._models: dict[str, SwitchedModel] = {}
        self._workers: dict[int, Participant] = {}
        self._new: list[Participant] = []
        self._unsettled: set[str] = set()  # models that something was said of since they settled
        self._n_workers = 0
        self._bell, self._ring = Pipe(duplex=False)
        self._lock = threading.Lock()

    def start(self) -> None:
        run_in_background("switch", self._turn)

    def line(self) -> tuple[SwitchChannel, Callable[[Callable[[], None]], None]]:
        """A line for a worker that is about to be spawned; any thread may call.

        Returns:
            The worker's end, and what to call once it runs, with what ends it for good without
            waiting.
        """
        ours, theirs = Pipe()

        def connect(end: Callable[[], None]) -> None:
            theirs.close()  # the worker has it: when it dies, our end must notice
            self.add(ours, end)

        return SwitchChannel(theirs, self._board), connect

    def add(self, line: Connection, end: Callable[[], None]) -> None:
        """Listen to a worker; any thread may call."""
        with self._lock:
            self._n_workers += 1
            self._new.append(Participant(self._n_workers, line, end))
        self._ring.send_bytes(b"!")

    # -- the thread ------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Hear what there is to hear, then do what follows from it."""
        until_s = self._settle_all()
        timeout_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        lines = {worker.line: worker for worker in self._workers.values()}
        for ready in wait([self._bell, *lines], timeout_s):
            if ready is self._bell:
                self._bell.recv_bytes()
                with self._lock:
                    new, self._new = self._new, []
                self._workers.update({worker.number: worker for worker in new})
            else:
                self._hear_all(lines[ready])  # type: ignore[index]

    def _hear_all(self, worker: Participant) -> None:
        try:
            while True:
                self._hear(worker, from_worker(worker.line.recv_bytes()))
                if not worker.line.poll():
                    return
        except (EOFError, OSError):
            self._gone(worker)

    def _hear(self, worker: Participant, said: FromWorker) -> None:
        now_s = time.monotonic()
        match said:
            case Join(name):
                self._join(worker, name, now_s)
            case Leave(name):
                model = self._model(name)
                model.workers.pop(worker.number, None)
                if not model.workers:
                    self._void(model)  # nobody serves it, and nobody died: begin anew
            case Opening(name, version, generation):
                worker.opening[name] = now_s
                self._change(worker, name, opening=(version, generation), opening_s=now_s)
            case Ready(name, version, generation):
                began_s = worker.opening.get(name, now_s)
                self._free(worker, name, now_s)
                self._change(
                    worker,
                    name,
                    opening=None,
                    ready=(version, generation),
                    ready_s=now_s,
                    load_s=now_s - began_s,
                )
                self._answer_known(worker, name, (version, generation))
            case Failed(name, version, generation, reason):
                self._free(worker, name, now_s)
                self._change(worker, name, opening=None)
                self._failed(worker, name, (version, generation), reason)
            case Later(name, _, _, _):
                self._free(worker, name, now_s)

    def _join(self, worker: Participant, name: str, now_s: float) -> None:
        model = self._model(name)
        if worker.number not in model.workers:
            if model.vacancy_s:
                model.vacancy_s.pop()
            second_for = model.replaced_for.pop() if model.replaced_for else 0
            model.workers[worker.number] = Standing(joined_s=now_s, second_for=second_for)
        version, generation = model.committed or (None, 0)
        self._tell(worker, Place(name, model.index, version, generation, dict(model.refused)))

    def _answer_known(self, worker: Participant, name: str, key: VersionKey) -> None:
        """What was decided before this worker was ready."""
        model = self._model(name)
        if key == model.committed:
            self._tell(worker, Committed(name, *key))
        elif key[1] in model.refused:
            self._tell(worker, Refused(name, key[1], model.refused[key[1]]))
        elif model.committed is not None and 0 < key[1] < model.committed[1]:
            self._tell(worker, Superseded(name, key[1]))

    def _failed(self, worker: Participant, name: str, key: VersionKey, reason: str) -> None:
        """One cannot: nobody shall. Unless it serves already, or another may be the first."""
        model = self._model(name)
        if key == model.committed:
            others = [one for number, one in model.workers.items() if number != worker.number]
            if not any(other.ready for other in others):
                self._void(model)
            return
        if key[1] in model.refused or key[1] == 0:
            return
        self._refuse(name, model, key, reason)

    def _refuse(self, name: str, model: SwitchedModel, key: VersionKey, reason: str) -> None:
        model.refused[key[1]] = reason
        while len(model.refused) > _REFUSALS_KEPT:
            del model.refused[min(model.refused)]
        log.error("switch refused", model=name, version=key[0], generation=key[1], reason=reason)
        self._tell_all(model, Refused(name, key[1], reason))

    def _gone(self, worker: Participant) -> None:
        """A worker is dead. One that died by itself in the middle of a switch is expected back."""
        del self._workers[worker.number]
        with contextlib.suppress(OSError):
            worker.line.close()
        for name, model in self._models.items():
            standing = model.workers.pop(worker.number, None)
            if standing is None:
                continue
            self._unsettled.add(name)
            if not worker.is_ended and (
                standing.opening is not None or standing.ready != model.committed
            ):
                model.vacancy_s.append(time.monotonic())

    # -- what follows ----------------------------------------------------------------------------

    def _settle_all(self) -> float | None:
        """Act until there is only waiting left; when to look again, on the monotonic clock."""
        waits = {name: self._settle(name, self._models[name]) for name in self._unsettled}
        self._unsettled = {name for name, until_s in waits.items() if until_s is not None}
        return min((until_s for until_s in waits.values() if until_s is not None), default=None)

    def _settle(self, name: str, model: SwitchedModel) -> float | None:
        while True:
            verdict = policy.decide(
                Switch(
                    {number: self._with_time(name, number) for number in model.workers},
                    model.committed,
                    model.refused,
                    tuple(model.vacancy_s),
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
                    for number, generation in generations.items():
                        self._tell(self._workers[number], Superseded(name, generation))
                        model.workers[number] = replace(model.workers[number], ready=None)
                case Replace(numbers, key):
                    for number in numbers:
                        self._replace(name, model, number, key)
                case Refuse(key, numbers):
                    self._refuse(
                        name,
                        model,
                        key,
                        f"{key[0]}: {len(numbers)} of the workers could not open it in time, also"
                        " after it was replaced.",
                    )

    def _commit(self, name: str, model: SwitchedModel, key: VersionKey) -> None:
        # The flip first: who hears of it must find it done.
        if model.index >= 0:
            self._board.flip(model.index, key[1])
        model.committed = key
        model.vacancy_s.clear()
        model.replaced_for.clear()
        self._tell_all(model, Committed(name, *key))
        log.info("switched", model=name, version=key[0], generation=key[1])

    def _replace(self, name: str, model: SwitchedModel, number: int, key: VersionKey) -> None:
        """End a worker; the main loop sees the dead process and starts another."""
        worker = self._workers[number]
        # It stays one of those that must be ready: until it is gone it answers with the old one.
        model.workers[number] = replace(model.workers[number], is_ending=True)
        model.replaced_for.append(key[1])
        log.error(
            "worker replaced: it holds up a switch",
            model=name,
            version=key[0],
            generation=key[1],
            waited_s=self._timeout_s,
        )
        if not worker.is_ended:
            worker.is_ended = True
            worker.end()

    # -- small things ----------------------------------------------------------------------------

    def _void(self, model: SwitchedModel) -> None:
        """Nothing serves any more; whoever is ready next begins."""
        model.committed = None
        if model.index >= 0:
            self._board.flip(model.index, 0)

    def _model(self, name: str) -> SwitchedModel:
        self._unsettled.add(name)
        found = self._models.get(name)
        if found is None:
            n = len(self._models)
            if n == CAPACITY:
                log.warning("the switch board is full: further models switch worker by worker")
            found = self._models[name] = SwitchedModel(n if n < CAPACITY else -1)
        return found

    def _change(self, worker: Participant, name: str, **changed: object) -> None:
        model = self._model(name)
        if worker.number in model.workers:
            standing = model.workers[worker.number]
            model.workers[worker.number] = replace(standing, **changed)  # type: ignore[arg-type]

    def _free(self, worker: Participant, name: str, now_s: float) -> None:
        worker.opening.pop(name, None)
        worker.free_s = now_s

    def _with_time(self, name: str, number: int) -> Standing:
        """The standing with what the worker does elsewhere."""
        worker = self._workers[number]
        others = [since_s for model, since_s in worker.opening.items() if model != name]
        return replace(
            self._models[name].workers[number],
            free_s=None if others else worker.free_s,
            busy_s=min(others, default=0.0),
        )

    def _tell_all(self, model: SwitchedModel, message: FromMain) -> None:
        for number in model.workers:
            self._tell(self._workers[number], message)

    def _tell(self, worker: Participant, message: FromMain) -> None:
        with contextlib.suppress(OSError, ValueError):
            # A worker that hangs does not empty its line, and waiting here would hold up all
            # others. What it misses it need not know: it is replaced.
            if select.select([], [worker.line.fileno()], [], 0)[1]:
                worker.line.send_bytes(encode(message))
