import json
from dataclasses import replace

from realtime_core.hub import wire
from realtime_core.hub.stored import entry_of
from realtime_core.model import SpeakerShare
from tests.hub.examples import ZERO, final, row_of


def test_a_final_out_of_the_table_is_the_message_that_viewers_were_sent() -> None:
    both = (SpeakerShare("alice:1", "Alice", 0.75), SpeakerShare("bob:1", "Bob", 0.5))
    said = replace(final(7, "Grüße", rev=3), language="de", confidence=0.25, speakers=both)
    entry = entry_of(row_of(said), ZERO)
    sent = wire.transcript_message(said, sent_at_ms=round((ZERO + 20) * 1000)).encode()
    assert json.loads(entry.payload) == json.loads(sent)
    assert (entry.utterance_id, entry.seq, entry.rev, entry.is_final) == ("u1", 7, 3, True)
