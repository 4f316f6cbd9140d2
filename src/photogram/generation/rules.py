"""What holds for every job of a server: what it costs, how long it may take, how many there may be.

An order and its terms go in; a price, a deadline, the row to write and the words for the engine come
out. Pure: nothing is written, and nothing is asked.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from photogram.accounts.models import Principal
from photogram.core import clock
from photogram.core.messages import Finished, GenerateJob, Source
from photogram.generation.catalogue import Catalogue
from photogram.generation.orders import KeptOrder, Order, SourceNames, Terms
from photogram.generation.repository.jobs import NewJob
from photogram.ledger.pricing import price_micro


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of one server.

    Attributes:
        catalogue: The models, and what their pictures cost.
        job_timeout_s: How long a job may take whose client waits.
        async_timeout_s: The same of one that outlives its client.
        jobs_per_account: Open at once; a key may have a lower limit of its own.
        with_prompt: Write prompts into the pictures' metadata.
    """

    catalogue: Catalogue
    job_timeout_s: float
    async_timeout_s: float
    jobs_per_account: int
    with_prompt: bool

    def price_micro(self, order: Order) -> int:
        """What the order costs, in micro-credits, by the steps that really run."""
        return self._price_micro(order, order.num_images, order.num_steps_run)

    def price_of_made_micro(self, order: Order, held_micro: int, finished: Finished) -> int:
        """What was held, or of it the share of what was really made, rounded half up.

        The job keeps its price also where a server with other prices ends it.
        """
        made = (len(finished.images), finished.num_steps)
        if made == (order.num_images, order.num_steps_run):
            return held_micro
        made_micro, whole_micro = self._price_micro(order, *made), max(self.price_micro(order), 1)
        return min((2 * held_micro * made_micro + whole_micro) // (2 * whole_micro), held_micro)

    def timeout_s(self, order: Order, terms: Terms) -> float:
        """How long the job may take from its admission on."""
        most_s = self.async_timeout_s if terms.is_async else self.job_timeout_s
        return most_s if order.timeout_s is None else min(order.timeout_s, most_s)

    def new_job(
        self,
        job_id: str,
        principal: Principal,
        order: Order,
        terms: Terms,
        server_id: str,
        source: SourceNames | None = None,
    ) -> NewJob:
        """The row of a job that this server admits, with the files of its source."""
        kept = KeptOrder(replace(order, source=None), terms.files_url, source)
        return NewJob(
            id=job_id,
            account_id=principal.account_id,
            key_id=principal.key_id,
            cost_micro=self.price_micro(order),
            price_version=self.catalogue.find(order.model).prices.version,
            model=order.model,
            num_images=order.num_images,
            num_steps=order.num_steps_run,
            guidance=order.guidance,
            pixel_factor=order.pixel_factor,
            request_id=terms.request_id or job_id,
            request=kept.encode(),
            source=source,
            is_durable=terms.is_durable,
            server_id=server_id,
            deadline_at=clock.now() + timedelta(seconds=self.timeout_s(order, terms)),
            webhook_url=terms.webhook_url,
            webhook_secret=terms.webhook_secret,
            spend_cap_micro=principal.spend_cap_micro,
            jobs_of_account=self.jobs_per_account,
            jobs_of_key=principal.jobs_at_once,
            idempotency=terms.idempotency,
        )

    def engine_job(
        self, job_id: str, account_id: str, order: Order, timeout_s: float
    ) -> GenerateJob:
        """The job as the engine is told of it."""
        source = None
        if order.source is not None:
            pictures = order.source
            source = Source(image=pictures.image, mask=pictures.mask, first_step=order.first_step)
        return GenerateJob(
            job_id=job_id,
            tenant=account_id,
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            num_steps=order.num_steps,
            guidance=order.guidance,
            seeds=tuple(order.seed + index for index in range(order.num_images)),
            image_format=order.image_format,
            quality=order.quality,
            with_prompt=self.with_prompt,
            timeout_s=timeout_s,
            model=order.model,
            num_previews=order.num_previews,
            adapters=order.adapters,
            source=source,
        )

    def _price_micro(self, order: Order, num_images: int, num_steps: int) -> int:
        return price_micro(
            self.catalogue.find(order.model).prices,
            num_images=num_images,
            num_steps=num_steps,
            guidance=order.guidance,
            pixel_factor=order.pixel_factor,
        )
