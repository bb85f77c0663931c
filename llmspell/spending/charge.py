"""What one effect is charged with: reserved and recorded before, settled afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llmspell.errors import JournalError
from llmspell.providers.messages import Usage
from llmspell.providers.request_coalescing import Caller
from llmspell.spending.account import Account, Cost
from llmspell.spending.accounts import Accounts

if TYPE_CHECKING:
    from llmspell.journal.payments import Payment
    from llmspell.journal.recording import Recording

log = logging.getLogger("llmspell.models")

FREE = Cost(Usage(), 0.0, calls=0)


class Charge(Caller):
    """The charge for one effect, in the accounts that pay for it and in the run's record."""

    def __init__(
        self,
        accounts: Accounts,
        paying: Sequence[Account],
        model: str,
        *,
        most: Callable[[], Cost],
        recording: Recording | None,
        record: Callable[[Recording], Payment],
    ) -> None:
        """Prepare.

        Args:
            accounts: The accounts of the run.
            paying: Those of them that pay.
            model: The requested model.
            most: Returns what to reserve.
            recording: The run's record, if it has one.
            record: Records that the request begins. Raises JournalError.
        """
        super().__init__()
        self._accounts, self._paying, self._model = accounts, paying, model
        self._most, self._recording, self._record = most, recording, record
        self._reserved = self._given_up = FREE
        self._payment: Payment | None = None

    async def reserve(self) -> None:
        """Reserve what is to be paid. Raises like `Accounts.reserve`."""
        reserved = self._most() if self.pays else FREE
        await self._accounts.reserve(self._paying, reserved, self._model)
        self._reserved = reserved

    def begin(self) -> None:
        """Record that a request begins which is to be paid. Raises JournalError."""
        if self._recording:
            self._payment = self._record(self._recording)

    def give_up(self) -> None:
        self._given_up = self._reserved
        self._exchange(FREE)
        super().give_up()

    def take_over(self) -> bool:
        most = self._most()
        if not all(account.fits(most) for account in self._paying):
            return False
        try:
            self.begin()
        except JournalError as error:  # the one who stops waiting must not get it
            log.warning("%s, so %s stays on the bill of the one who asked", error, self._model)
            return False
        self._exchange(most)
        return super().take_over()

    def take_back(self) -> None:
        self._exchange(self._given_up)
        super().take_back()

    def settle(self, cost: Cost) -> None:
        """Replace the reservation by the actual cost, also in the record."""
        self._accounts.settle(self._paying, self._reserved, self._model, cost)
        if self._recording and self._payment:
            used = replace(cost.usage, usd=cost.usd) if cost.calls else None
            self._recording.paid(self._payment, used, answered=cost.answered)

    def _exchange(self, reserved: Cost) -> None:
        for account in self._paying:
            account.exchange(self._reserved, reserved)
        self._reserved = reserved
