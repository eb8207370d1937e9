-- Who spoke at the same time, and how much of it: [{"id", "name", "share"}], as viewers are told.
ALTER TABLE transcripts ADD COLUMN speakers jsonb;
