CREATE TABLE transcripts (
    session_slug       text        NOT NULL,
    epoch              text        NOT NULL,
    utterance_id       text        NOT NULL,
    rev                int         NOT NULL,
    seq                bigint      NOT NULL,
    text               text        NOT NULL,
    speaker            text        NOT NULL,
    speaker_id         text        NOT NULL,
    speaker_confidence real,
    language           text,
    confidence         real,
    words              jsonb,
    finalized_by       text        NOT NULL,
    started_at         timestamptz NOT NULL,
    ended_at           timestamptz NOT NULL,
    received_at        timestamptz NOT NULL,
    stored_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_slug, utterance_id)
);

CREATE INDEX transcripts_by_start ON transcripts (session_slug, started_at);
CREATE INDEX transcripts_by_run ON transcripts (session_slug, epoch, started_at);
