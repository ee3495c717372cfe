-- Models that a provider refused to the server's account, until it takes them again. A refusal concerns that model alone: the
-- provider is not paused for it.
CREATE TABLE refused_models (
  provider text NOT NULL,
  model text NOT NULL,
  refused_at timestamptz NOT NULL, -- the newest time
  reason text NOT NULL,
  PRIMARY KEY (provider, model)
);
--bun:split
-- What is forgotten by its age.
CREATE INDEX refused_models_at ON refused_models (refused_at);
