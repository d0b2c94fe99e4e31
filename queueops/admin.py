"""The console's pages of the queue: each module registers its own."""

from __future__ import annotations

from queueops import alerts_admin as alerts_admin
from queueops import api_token_admin as api_token_admin
from queueops import audit_admin as audit_admin
from queueops import causes_admin as causes_admin
from queueops import console_admin as console_admin
from queueops import letters_admin as letters_admin
from queueops import operations_admin as operations_admin
