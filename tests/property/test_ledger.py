"""The ledger against a model of it: a dictionary that any reader can follow."""

import contextlib
from collections.abc import Callable
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
from photogram.generation.repository import jobs
from photogram.generation.states import JobState
from photogram.ledger import repository
from photogram.ledger.entries import Balance
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.unit.storage.stocked import PEPPER, fail, new_job, succeed, take_over_all

NewDatabase = Callable[[], contextlib.AbstractContextManager[str]]

amounts = st.integers(0, 1_000)
positive = st.integers(1, 1_000)


class LedgerMachine(RuleBasedStateMachine):
    """Grants, jobs, refunds and duplicates in any order; after each, all sums are proved."""

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
        self.resolved = 0
        self.num_grants = 0

    def _open(self) -> None:
        self.database = Database.open(self.url)
        self.ledger = LedgerService(self.database)

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

    @rule(target=open_jobs, who=st.integers(0, 1), amount=amounts)
    def admit(self, who: int, amount: int) -> object:
        job = new_job(self.customers[who], amount)
        if amount > self._available(who):
            with pytest.raises(InsufficientCreditsError):
                self.database.transact(jobs.admit, job)
            return multiple()
        self.database.transact(jobs.admit, job)
        free = min(amount, self.free[who])
        self.free[who] -= free
        self.held[job.id] = (who, amount, free)
        return job.id

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
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(succeed, job_id, 0)
            return
        who, held, free = self.held[job_id]
        with pytest.raises(ConflictError):
            self.database.transact(succeed, job_id, held + 1)
        amount = int(share * held)
        remaining = self.database.transact(succeed, job_id, amount)
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
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(fail, job_id, state, "test")
            return
        self.database.transact(fail, job_id, state, "test")
        who, _, free = self.held.pop(job_id)
        self.free[who] += free

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self._open()

    @rule()
    def restart(self) -> None:
        self.database.close()
        self._open()
        assert take_over_all(self.database) == len(self.held)
        for who, _, free in self.held.values():
            self.free[who] += free
        self.held.clear()

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
