"""The ledger against a model of it: a dictionary that any reader can follow."""

import tempfile
from pathlib import Path

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
)

from photogram.accounts.models import Principal
from photogram.accounts.service import AccountService
from photogram.core.errors import ConflictError, InsufficientCreditsError
from photogram.generation import repository as jobs
from photogram.generation.recovery import recover
from photogram.generation.states import JobState
from photogram.ledger import repository
from photogram.ledger.service import LedgerService
from photogram.storage.database import Database
from tests.unit.storage.stocked import PEPPER, new_job

amounts = st.integers(0, 1_000)
positive = st.integers(1, 1_000)


class LedgerMachine(RuleBasedStateMachine):
    """Grants, jobs and duplicates in any order; after each, all sums are proved."""

    open_jobs = Bundle("open_jobs")
    references = Bundle("references")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self._open()
        self.customers = [self._customer(name) for name in ("ann", "bob")]
        self.granted = [0, 0]
        self.spent = [0, 0]
        self.held: dict[str, tuple[int, int]] = {}  # job -> (customer, amount)
        self.resolved = 0
        self.num_grants = 0

    def _open(self) -> None:
        self.database = Database.open(Path(self.folder.name) / "test.sqlite3")
        self.ledger = LedgerService(self.database)

    def _customer(self, name: str) -> Principal:
        accounts = AccountService(self.database, PEPPER)
        key = accounts.create_key(name)
        return Principal(accounts.account_id(name), key.key_id)

    def _available(self, who: int) -> int:
        held = sum(amount for holder, amount in self.held.values() if holder == who)
        return self.granted[who] - self.spent[who] - held

    @rule(target=references, who=st.integers(0, 1), amount=positive)
    def grant(self, who: int, amount: int) -> tuple[int, int, str]:
        self.num_grants += 1
        idem_ref = f"grant-{self.num_grants}"
        self.granted[who] += amount
        after = self.ledger.grant(
            self.customers[who].account_id, amount, actor="test", idem_ref=idem_ref
        )
        assert after == self._available(who)
        return who, amount, idem_ref

    @rule(reference=references)
    def grant_again(self, reference: tuple[int, int, str]) -> None:
        who, amount, idem_ref = reference
        account_id = self.customers[who].account_id
        after = self.ledger.grant(account_id, amount, actor="test", idem_ref=idem_ref)
        assert after == self._available(who)
        with pytest.raises(ConflictError):
            self.ledger.grant(account_id, amount + 1, actor="test", idem_ref=idem_ref)

    @rule(target=open_jobs, who=st.integers(0, 1), amount=amounts)
    def admit(self, who: int, amount: int) -> object:
        job = new_job(self.customers[who], amount)
        if amount > self._available(who):
            with pytest.raises(InsufficientCreditsError):
                self.database.transact(jobs.admit, job)
            return multiple()
        self.database.transact(jobs.admit, job)
        self.held[job.id] = (who, amount)
        return job.id

    @rule(job_id=open_jobs)
    def reserve_again(self, job_id: str) -> None:
        if job_id in self.held:
            who, amount = self.held[job_id]
            account_id = self.customers[who].account_id
            reserve = (repository.reserve, account_id)
            self.database.transact(*reserve, amount, f"{job_id}:hold", job_id)
            with pytest.raises(ConflictError):
                self.database.transact(*reserve, amount + 1, f"{job_id}:hold", job_id)

    @rule(job_id=open_jobs, share=st.fractions(0, 1))
    def succeed(self, job_id: str, share: float) -> None:
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(jobs.succeed, job_id, 0)
            return
        who, held = self.held[job_id]
        with pytest.raises(ConflictError):
            self.database.transact(jobs.succeed, job_id, held + 1)
        amount = int(share * held)
        remaining = self.database.transact(jobs.succeed, job_id, amount)
        del self.held[job_id]
        self.spent[who] += amount
        assert remaining == self._available(who)

    @rule(job_id=open_jobs, state=st.sampled_from([JobState.FAILED, JobState.CANCELLED]))
    def fail(self, job_id: str, state: JobState) -> None:
        if job_id not in self.held:
            with pytest.raises(ConflictError):
                self.database.transact(jobs.fail, job_id, state, "test")
            return
        self.database.transact(jobs.fail, job_id, state, "test")
        del self.held[job_id]

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self._open()

    @rule()
    def restart(self) -> None:
        self.database.close()
        self._open()
        assert recover(self.database) == len(self.held)
        self.held.clear()

    @invariant()
    def the_sums_hold_and_the_balances_are_the_models(self) -> None:
        report = self.ledger.check()
        assert report.violations == ()
        assert report.num_open_holds == len(self.held)
        for who, customer in enumerate(self.customers):
            assert self.ledger.balance(customer.account_id) == self._available(who) >= 0

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLedger = LedgerMachine.TestCase
