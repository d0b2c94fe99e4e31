"""A thousand mixed webhooks: every call that the rules ask for is made once, and nothing is unaccounted for."""

from __future__ import annotations

from collections import Counter
from io import StringIO

from django.core.management import call_command

from automations.models import Event
from chatautodm.drill import expected
from queueops import deadletters
from queueops.models import DeadLetter
from tests.product.stack import Stack
from tests.product.test_payload_calls import SHOP, STUDIO
from tests.servers import APP_SECRET
from webhooks import simulation
from webhooks.simulated_events import Content

SEED = 20261121
POSTS = 1000


def made(stack: Stack) -> Counter[tuple[str, str]]:
    """What the Graph API received, in the same words."""
    calls: Counter[tuple[str, str]] = Counter()
    for path, body in stack.calls():
        if path.endswith("/replies"):
            calls[path.removesuffix("/replies"), body["message"]] += 1
        else:
            calls[next(iter(body["recipient"].values())), body["message"]["text"]] += 1
    return calls


def simulate(stack: Stack, **options) -> list[Content]:
    """Send the traffic; answers what was in it."""
    call_command(
        "simulate",
        url=stack.web,
        rate=0,
        count=POSTS,
        seed=SEED,
        secret=APP_SECRET,
        stdout=StringIO(),
        stderr=StringIO(),
        **options,
    )
    mix = simulation.parse_mix(simulation.DEFAULT_MIX)
    bodies = simulation.bodies(SEED, mix, [SHOP, STUDIO], POSTS, 0.05, lambda: 0)
    return [content for body in bodies for content in body.contents]


def test_of_a_thousand_mixed_webhooks_every_expected_call_is_made_once(stack):
    contents = simulate(stack)

    counts = stack.settle()

    wanted = Counter(call for content in contents if not content.is_duplicate for call in expected.calls(content))
    assert made(stack) == wanted
    assert len(wanted) > POSTS / 3
    assert counts.as_json()["unexplained"] == 0
    assert counts.received == len(contents)
    assert counts.duplicate == sum(content.is_duplicate for content in contents if content.kind not in expected.NOTICES)
    assert counts.completed == Event.objects.count()


def test_an_outage_of_metas_ends_in_dead_letters_that_can_be_retried(stack):
    stack.fault(fault="transient1", times=6)  # two events, three attempts each
    for mid in ("mid.1", "mid.2"):
        stack.post(message(mid))
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == 2)
    letter = DeadLetter.objects.dead().first()
    assert letter.attempts == 3
    assert letter.cause_code == 1
    assert stack.settle().as_json()["dead"] == 2

    assert deadletters.retry(DeadLetter.objects.dead()) == 2

    stack.wait_until(lambda: Event.objects.filter(outcome="sent").count() == 2)
    assert DeadLetter.objects.dead().count() == 0
    counts = stack.settle()
    assert (counts.completed, counts.total("dead"), counts.unexplained) == (2, 0, 0)
    assert sum(made(stack).values()) == 8  # as the fake counts them: six refused, two sent


def message(mid: str) -> bytes:
    return (
        f'{{"object":"instagram","entry":[{{"id":"{SHOP}","time":1,"messaging":[{{"sender":{{"id":"8422491661125971"}},'
        f'"recipient":{{"id":"{SHOP}"}},"timestamp":1,"message":{{"mid":"{mid}","text":"link"}}}}]}}]}}'
    ).encode()


def test_an_unsigned_body_is_refused_and_nothing_of_it_is_kept(stack):
    status, answer = stack.post(message("mid.1"), signature="sha256=" + "0" * 64)

    assert status == 401
    assert "error" in answer
    assert stack.settle().received == 0
