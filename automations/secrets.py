"""Text that is encrypted at rest: the first of FIELD_ENCRYPTION_KEYS encrypts, all of them decrypt (rotation)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.query_utils import DeferredAttribute

from queueops import scrubbing


class Ciphertext(str):
    """A value as it stands in the database: decrypted when somebody asks the row for it, written back as it is."""

    __slots__ = ()


class UndecryptableError(ImproperlyConfigured):
    """None of FIELD_ENCRYPTION_KEYS fits what is stored; the message names the row and the fix."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> Ciphertext:
    scrubbing.learn(text)
    return Ciphertext(_fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(text.encode()).decode())


def decrypt(stored: str, whose: str = "A stored secret") -> str:
    """Raises UndecryptableError when none of the keys fits: `whose` begins its sentence."""
    try:
        text = _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise UndecryptableError(
            f"{whose} cannot be decrypted with any of FIELD_ENCRYPTION_KEYS. "
            "Add the key it was written with to the end of the list, or enter it anew."
        ) from error
    scrubbing.learn(text)
    return text


def is_current(stored: str) -> bool:
    """Whether it was written with the key that encrypts now."""
    try:
        _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS[:1])).decrypt(stored.encode())
    except InvalidToken:
        return False
    return True


class _DecryptedOnDemand(DeferredAttribute):
    """Reading a row decrypts nothing, so that a row whose key is lost can be listed, shown and mended."""

    field: EncryptedTextField

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Ciphertext):
            return decrypt(value, f"The {self.field.verbose_name} of {instance}") if value else ""
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(models.TextField):  # type: ignore[type-arg] # generic in the stubs only
    """A text column that holds only ciphertext; an empty string stays empty.

    `row.field` is the text, and raises UndecryptableError; `values()` and `values_list()` answer `Ciphertext`.
    """

    descriptor_class = _DecryptedOnDemand

    def get_prep_value(self, value: Any) -> Any:
        return str(value if isinstance(value, Ciphertext) else encrypt(value)) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        # As it stands: what nobody changed is written back without having been decrypted.
        return model_instance.__dict__.get(self.attname, self.get_default())

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        return Ciphertext(value) if value else value
