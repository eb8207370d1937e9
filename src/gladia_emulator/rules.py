"""How the emulator behaves where it can be told to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers and choices of a session's life; the defaults are the service's, or a guess.

    Attributes:
        idle_timeout_s: A socket without audio for so long is closed with 4408.
        resume_window_s: How long a session without a socket waits for one.
        max_session_s: The oldest a session gets, 3 hours with the service.
        age_close_code: With what a session that is too old is closed (unknown of the service).
        final_delay_s: Least and most time from hearing the end of an utterance to its final.
            Spread evenly, not at random.
        close_delay_s: Least time from ``stop_recording`` to the close.
        partial_every_s: A draft comes with every so many seconds of speech.
        second_socket: What happens when a session that has a socket gets another: the old one
            is kicked (4409) or the new one refused (409).
        replay_missed: Whether what came up while no socket was there is sent to the next one.
        most_too_big: A session is dead after so many frames that were too big.
        kept_audio_s: How much of the beginning of each session's audio is kept.
        kept_sessions: How many ended sessions can still be asked for.
    """

    idle_timeout_s: float = 30.0
    resume_window_s: float = 30.0
    max_session_s: float = 10_800.0
    age_close_code: int = 1000
    final_delay_s: tuple[float, float] = (0.1, 0.6)
    close_delay_s: float = 1.0
    partial_every_s: float = 0.3
    second_socket: Literal["kick", "refuse"] = "kick"
    replay_missed: bool = False
    most_too_big: int = 5
    kept_audio_s: float = 60.0
    kept_sessions: int = 200

    def final_delay(self, utterance_number: int) -> float:
        """Return when the final of the n-th utterance comes, in seconds after its end."""
        least_s, most_s = self.final_delay_s
        # Multiples of the golden ratio fall evenly between 0 and 1.
        return least_s + (most_s - least_s) * (utterance_number * 0.618034 % 1)
