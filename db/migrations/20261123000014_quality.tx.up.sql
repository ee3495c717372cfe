-- What a run has to pass, what it used, and how much it may use.

ALTER TABLE automations
  ADD COLUMN gate    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(gate) = 'object'),    -- what must hold before a run begins
  ADD COLUMN success jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(success) = 'object'), -- what must hold at its end
  ADD COLUMN budget  jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(budget) = 'object');  -- limits of a run, a day and a month
--bun:split
-- What a message used, as its agent told. Not told is unknown, which is why there are flags beside the numbers.
ALTER TABLE turns
  ADD COLUMN conversation  text NOT NULL DEFAULT '',        -- the agent's own id; some agents tell sums over all of it
  ADD COLUMN counted       boolean NOT NULL DEFAULT false,  -- the agent told its tokens
  ADD COLUMN priced        boolean NOT NULL DEFAULT false,  -- the agent told its price
  ADD COLUMN tokens_in     bigint NOT NULL DEFAULT 0 CHECK (tokens_in >= 0),     -- that came from no cache
  ADD COLUMN tokens_cached bigint NOT NULL DEFAULT 0 CHECK (tokens_cached >= 0), -- read from a cache
  ADD COLUMN tokens_out    bigint NOT NULL DEFAULT 0 CHECK (tokens_out >= 0),
  ADD COLUMN cost_usd      double precision NOT NULL DEFAULT 0 CHECK (cost_usd >= 0 AND cost_usd < 1e12);
--bun:split
-- The sums over a run's turns, kept since budgets ask for them at every start.
ALTER TABLE executions
  ADD COLUMN turns         integer NOT NULL DEFAULT 0,      -- that have begun
  ADD COLUMN counted       integer NOT NULL DEFAULT 0,      -- of those, whose tokens are known
  ADD COLUMN priced        integer NOT NULL DEFAULT 0,      -- of those, whose price is known
  ADD COLUMN tokens_in     bigint NOT NULL DEFAULT 0,
  ADD COLUMN tokens_cached bigint NOT NULL DEFAULT 0,
  ADD COLUMN tokens_out    bigint NOT NULL DEFAULT 0,
  ADD COLUMN cost_usd      double precision NOT NULL DEFAULT 0,
  ADD COLUMN result        text NOT NULL DEFAULT '' CHECK (result IN ('', 'nothing_to_do')); -- of a success: a kind of its own
--bun:split
-- Usage of a month is read by when turns ended.
CREATE INDEX turns_finished ON turns (finished_at) WHERE finished_at IS NOT NULL;
