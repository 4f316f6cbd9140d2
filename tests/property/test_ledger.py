"""The ledger against a model of it: a dictionary that any reader can follow."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from photogram.accounts.models import Principal
from photogram.accounts.service import AccountService
from photogram.core.errors import ConflictError, InsufficientCreditsError
from photogram.generation.dispatcher import MAX_ATTEMPTS
from photogram.generation.lease import ServerLease
from photogram.generation.orders import KeptOrder
from photogram.generation.repository import jobs
from photogram.generation.repository.jobs import FIRST_FENCE
from photogram.generation.states import JobState
from photogram.ledger import repository
from photogram.ledger.entries import Balance
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.unit.generation.ordering import ORDER
from tests.unit.storage.stocked import FIGURES, PEPPER, new_job, take_over

NewDatabase = Callable[[], contextlib.AbstractContextManager[str]]

amounts = st.integers(0, 1_000)
positive = st.integers(1, 1_000)


@dataclass
class Ownership:
    """Who has a job, and how often it was begun."""

    is_durable: bool
    fence: int = FIRST_FENCE
    attempt: int = 0
    is_running: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """Grants, jobs, their owners, refunds and duplicates in any order; after each, all is proved."""

    open_jobs = Bundle("open_jobs")
    references = Bundle("references")

    def __init__(self, new_database: NewDatabase) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.url = self.stack.enter_context(new_database())

    @initialize()
    def open(self) -> None:
        self._open()
        self.customers = [self._customer(name) for name in ("ann", "bob")]
        self.granted = [0, 0]
        self.free = [0, 0]
        self.spent = [0, 0]
        self.paid: dict[str, tuple[int, int, int]] = {}  # job -> (customer, amount, of it free)
        self.held: dict[str, tuple[int, int, int]] = {}  # job -> (customer, amount, of it free)
        self.owned: dict[str, Ownership] = {}
        self.resolved = 0
        self.num_grants = 0

    def _open(self) -> None:
        self.database = Database.open(self.url)
        self.ledger = LedgerService(self.database)
        self.server_id = ServerLease(self.database, is_alone=True).server_id

    def _customer(self, name: str) -> Principal:
        accounts = AccountService(self.database, PEPPER)
        key = accounts.create_key(name)
        return Principal(accounts.account_id(name), key.key_id)

    def _available(self, who: int) -> int:
        held = sum(amount for holder, amount, _ in self.held.values() if holder == who)
        return self.granted[who] - self.spent[who] - held

    @rule(target=references, who=st.integers(0, 1), amount=positive, is_free=st.booleans())
    def grant(self, who: int, amount: int, is_free: bool) -> tuple[int, int, bool, str]:
        self.num_grants += 1
        idem_ref = f"grant-{self.num_grants}"
        self.granted[who] += amount
        self.free[who] += amount if is_free else 0
        assert self._grant(who, amount, is_free, idem_ref) == self._available(who)
        return who, amount, is_free, idem_ref

    @rule(reference=references)
    def grant_again(self, reference: tuple[int, int, bool, str]) -> None:
        who, amount, is_free, idem_ref = reference
        assert self._grant(who, amount, is_free, idem_ref) == self._available(who)
        with pytest.raises(ConflictError):
            self._grant(who, amount + 1, is_free, idem_ref)
        with pytest.raises(ConflictError):
            self._grant(who, amount, not is_free, idem_ref)

    def _grant(self, who: int, amount: int, is_free: bool, idem_ref: str) -> int:
        account_id = self.customers[who].account_id
        return self.ledger.grant(
            account_id, amount, actor="test", idem_ref=idem_ref, is_free=is_free
        )

    @rule(target=open_jobs, who=st.integers(0, 1), amount=amounts, is_durable=st.booleans())
    def admit(self, who: int, amount: int, is_durable: bool) -> object:
        job = replace(
            new_job(self.customers[who], amount),
            is_durable=is_durable,
            request=KeptOrder(ORDER, "").encode(),
            server_id=self.server_id,
        )
        if amount > self._available(who):
            with pytest.raises(InsufficientCreditsError):
                self.database.transact(jobs.admit, job)
            return multiple()
        self.database.transact(jobs.admit, job)
        free = min(amount, self.free[who])
        self.free[who] -= free
        self.held[job.id] = (who, amount, free)
        self.owned[job.id] = Ownership(is_durable)
        return job.id

    @rule(job_id=open_jobs)
    def start(self, job_id: str) -> None:
        owned = self.owned[job_id]
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(jobs.start, job_id, owned.fence)
            return
        owned.attempt += 0 if owned.is_running else 1
        owned.is_running = True
        for _ in range(2):
            assert self.database.transact(jobs.start, job_id, owned.fence) == owned.attempt

    @rule(job_id=open_jobs, is_left=st.booleans())
    def change_hands(self, job_id: str, is_left: bool) -> None:
        """A job gets a new owner, or is left to whoever finds it; who had it can do nothing."""
        owned = self.owned[job_id]
        old_fence = owned.fence
        change = (jobs.leave,) if is_left else (jobs.take, self.server_id)
        if job_id in self.held:
            self.database.transact(change[0], job_id, old_fence, *change[1:])
            owned.fence += 1
            owned.attempt -= 1 if is_left and owned.is_running else 0
            owned.is_running = False
        stale = (job_id, old_fence)
        for late in (
            (jobs.start, *stale),
            (jobs.leave, *stale),
            (jobs.succeed, *stale, 0, FIGURES),
            (jobs.fail, *stale, JobState.FAILED, "late"),
        ):
            with pytest.raises(ConflictError):
                self.database.transact(*late)

    @rule(job_id=open_jobs)
    def reserve_again(self, job_id: str) -> None:
        if job_id in self.held:
            who, amount, _ = self.held[job_id]
            account_id = self.customers[who].account_id
            reserve = (repository.reserve, account_id)
            self.database.transact(*reserve, amount, f"{job_id}:hold", job_id)
            with pytest.raises(ConflictError):
                self.database.transact(*reserve, amount + 1, f"{job_id}:hold", job_id)

    @rule(job_id=open_jobs, share=st.fractions(0, 1))
    def succeed(self, job_id: str, share: float) -> None:
        settle = (jobs.succeed, job_id, self.owned[job_id].fence)
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(*settle, 0, FIGURES)
            return
        who, held, free = self.held[job_id]
        with pytest.raises(ConflictError):
            self.database.transact(*settle, held + 1, FIGURES)
        amount = int(share * held)
        remaining = self.database.transact(*settle, amount, FIGURES)
        del self.held[job_id]
        self.spent[who] += amount
        self.paid[job_id] = (who, amount, min(free, amount))
        self.free[who] += free - min(free, amount)
        assert remaining == self._available(who)

    @rule(job_id=open_jobs, amount=positive)
    def refund(self, job_id: str, amount: int) -> None:
        who, paid, free = self.paid.get(job_id, (0, 0, 0))
        if amount > paid:
            with pytest.raises(ConflictError):
                self.ledger.refund(job_id, amount, actor="test", reason="test")
            return
        given = self.ledger.refund(job_id, amount, actor="test", reason="test")
        assert given == amount
        given_free = max(amount - (paid - free), 0)
        self.paid[job_id] = (who, paid - amount, free - given_free)
        self.free[who] += given_free
        self.spent[who] -= amount

    @rule(job_id=open_jobs, state=st.sampled_from([JobState.FAILED, JobState.CANCELLED]))
    def fail(self, job_id: str, state: JobState) -> None:
        release = (jobs.fail, job_id, self.owned[job_id].fence, state, "test")
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(*release)
            return
        self.database.transact(*release)
        self._release(job_id)

    def _release(self, job_id: str) -> None:
        who, _, free = self.held.pop(job_id)
        self.free[who] += free

    @rule()
    def restart(self) -> None:
        """Another server takes all jobs over: of those that may be painted again, each once."""
        self.database.close()
        self._open()
        taken = {orphan.id: orphan.fence for orphan in take_over(self.database, self.server_id)}
        for job_id in list(self.held):
            owned = self.owned[job_id]
            if owned.is_durable and owned.attempt < MAX_ATTEMPTS:
                owned.fence, owned.is_running = owned.fence + 1, False
                assert taken.pop(job_id) == owned.fence
            else:
                self._release(job_id)
        assert taken == {}
        assert take_over(self.database, self.server_id) == []

    @invariant()
    def the_sums_hold_and_the_balances_are_the_models(self) -> None:
        report = self.ledger.check()
        assert report.violations == ()
        assert report.num_open_holds == len(self.held)
        for who, customer in enumerate(self.customers):
            balance = self.database.transact(
                repository.spendable, customer.account_id, readonly=True
            )
            assert balance == Balance(self._available(who), self.free[who])
            assert balance.total_micro >= balance.free_micro >= 0

    def teardown(self) -> None:
        self.database.close()
        self.stack.close()


def _follow_the_model(new_database: NewDatabase, *, num_examples: int, num_steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        partial(LedgerMachine, new_database),
        settings=settings(
            max_examples=num_examples,
            stateful_step_count=num_steps,
            deadline=None,
            derandomize=num_examples < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_ledger_does_as_its_model(new_database: NewDatabase) -> None:
    _follow_the_model(new_database, num_examples=15, num_steps=30)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_ledger_does_as_its_model_for_long(new_database: NewDatabase) -> None:
    _follow_the_model(new_database, num_examples=500, num_steps=50)
