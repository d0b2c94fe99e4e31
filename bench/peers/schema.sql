-- The peer's own tables: as many columns and indexes as ours have on events and deliveries.
DROP TABLE IF EXISTS event, delivery;
CREATE TABLE event (
  id uuid PRIMARY KEY, key text NOT NULL UNIQUE, kind text NOT NULL, lane text NOT NULL, account text NOT NULL,
  person text NOT NULL, source_id text NOT NULL, text text NOT NULL, payload jsonb NOT NULL, outcome text NOT NULL,
  automation text, rules jsonb NOT NULL, received_at timestamptz NOT NULL, finished_at timestamptz NOT NULL
);
CREATE INDEX ON event (account, id DESC);
CREATE INDEX ON event (person, id DESC);
CREATE INDEX ON event (outcome, id DESC);
CREATE INDEX ON event (source_id);
CREATE TABLE delivery (
  id uuid PRIMARY KEY, event_key text NOT NULL, automation text NOT NULL, step int NOT NULL, kind text NOT NULL,
  recipient text NOT NULL, body jsonb NOT NULL, status text NOT NULL, message_id text, once_key text UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, UNIQUE (event_key, automation, step)
);
CREATE INDEX ON delivery (status, id DESC);
