-- An installation as commit 97fca01 made it. Written by dump.sh.
CREATE FUNCTION public.audit_events_stay() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.actor_id IS NULL THEN
    OLD.actor_id := NULL;
    IF OLD IS NOT DISTINCT FROM NEW THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TABLE public.api_tokens (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    narrowed boolean NOT NULL,
    permissions text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    used_from text DEFAULT ''::text NOT NULL,
    CONSTRAINT api_tokens_check CHECK ((narrowed OR (permissions = '{}'::text[]))),
    CONSTRAINT api_tokens_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_tokens_name_check CHECK ((name <> ''::text))
);
CREATE TABLE public.audit_events (
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    actor_id uuid,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid,
    subject_name text DEFAULT ''::text NOT NULL,
    workspace_id uuid,
    reason text DEFAULT ''::text NOT NULL,
    before jsonb,
    after jsonb,
    address text DEFAULT ''::text NOT NULL,
    token text DEFAULT ''::text NOT NULL
);
CREATE TABLE public.automations (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    creator_id uuid NOT NULL,
    name text NOT NULL,
    trigger text NOT NULL,
    run_at timestamp with time zone,
    cron text DEFAULT ''::text NOT NULL,
    time_zone text DEFAULT ''::text NOT NULL,
    max_iterations integer,
    stop_text text DEFAULT ''::text NOT NULL,
    iterations integer DEFAULT 0 NOT NULL,
    next_run_at timestamp with time zone,
    scheduled_since timestamp with time zone,
    catch_up boolean DEFAULT false NOT NULL,
    allow_parallel boolean DEFAULT false NOT NULL,
    max_parallel integer,
    session_type text NOT NULL,
    execution_type text NOT NULL,
    prompt text DEFAULT ''::text NOT NULL,
    workflow_id uuid,
    bot_id uuid,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    base_branch text DEFAULT ''::text NOT NULL,
    provider text DEFAULT ''::text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    toggles text[] DEFAULT '{}'::text[] NOT NULL,
    auto_complete boolean DEFAULT false NOT NULL,
    only_unchanged boolean DEFAULT false NOT NULL,
    timeout_seconds integer DEFAULT 21600 NOT NULL,
    enabled boolean NOT NULL,
    disabled_kind text DEFAULT ''::text NOT NULL,
    disabled_reason text DEFAULT ''::text NOT NULL,
    disabled_at timestamp with time zone,
    failure_streak integer DEFAULT 0 NOT NULL,
    skip_id uuid,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    sender text DEFAULT ''::text NOT NULL,
    signature_header text DEFAULT ''::text NOT NULL,
    signature_sealed bytea,
    filter jsonb DEFAULT '{}'::jsonb NOT NULL,
    append_payload boolean DEFAULT false NOT NULL,
    create_pr boolean DEFAULT false NOT NULL,
    may_automate boolean DEFAULT false NOT NULL,
    retries integer DEFAULT 2 NOT NULL,
    gate jsonb DEFAULT '{}'::jsonb NOT NULL,
    success jsonb DEFAULT '{}'::jsonb NOT NULL,
    budget jsonb DEFAULT '{}'::jsonb NOT NULL,
    made_by uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    changed_by uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT automations_bot_id CHECK (((bot_id IS NULL) OR (session_type = 'bot'::text))),
    CONSTRAINT automations_budget_check CHECK ((jsonb_typeof(budget) = 'object'::text)),
    CONSTRAINT automations_catch_up CHECK (((NOT catch_up) OR (trigger = 'recurring'::text))),
    CONSTRAINT automations_disabled_kind_check CHECK ((disabled_kind = ANY (ARRAY[''::text, 'person'::text, 'failures'::text, 'finished'::text, 'missed'::text, 'removed'::text, 'invalid'::text]))),
    CONSTRAINT automations_execution_type_check CHECK ((execution_type = ANY (ARRAY['inline'::text, 'workflow'::text]))),
    CONSTRAINT automations_gate_check CHECK ((jsonb_typeof(gate) = 'object'::text)),
    CONSTRAINT automations_http CHECK (((trigger <> 'http'::text) OR enabled)),
    CONSTRAINT automations_loop CHECK (((trigger = 'loop'::text) OR ((max_iterations IS NULL) AND (stop_text = ''::text)))),
    CONSTRAINT automations_max_iterations_check CHECK ((max_iterations > 0)),
    CONSTRAINT automations_max_parallel_check CHECK (((max_parallel >= 1) AND (max_parallel <= 1000))),
    CONSTRAINT automations_name_check CHECK (((name <> ''::text) AND (length(name) <= 200))),
    CONSTRAINT automations_one_time CHECK (((trigger = 'one_time'::text) = (run_at IS NOT NULL))),
    CONSTRAINT automations_parallel CHECK (((NOT allow_parallel) OR (trigger = 'http'::text))),
    CONSTRAINT automations_prompt CHECK (((execution_type = 'workflow'::text) OR (prompt <> ''::text))),
    CONSTRAINT automations_recurring CHECK (((trigger = 'recurring'::text) = (cron <> ''::text))),
    CONSTRAINT automations_retries_check CHECK (((retries >= 0) AND (retries <= 10))),
    CONSTRAINT automations_schedule CHECK (((next_run_at IS NULL) OR (enabled AND (trigger = ANY (ARRAY['one_time'::text, 'recurring'::text, 'loop'::text]))))),
    CONSTRAINT automations_sender CHECK (((sender = ''::text) = (signature_sealed IS NULL))),
    CONSTRAINT automations_sender_check CHECK ((sender = ANY (ARRAY[''::text, 'github'::text, 'gitlab'::text, 'gitea'::text, 'standard'::text, 'hmac'::text]))),
    CONSTRAINT automations_sender_http CHECK (((trigger = 'http'::text) OR ((sender = ''::text) AND (filter = '{}'::jsonb) AND (NOT append_payload)))),
    CONSTRAINT automations_session_type_check CHECK ((session_type = ANY (ARRAY['develop'::text, 'chat'::text, 'bot'::text]))),
    CONSTRAINT automations_success_check CHECK ((jsonb_typeof(success) = 'object'::text)),
    CONSTRAINT automations_timeout_seconds_check CHECK (((timeout_seconds >= 0) AND (timeout_seconds <= 2592000))),
    CONSTRAINT automations_toggles CHECK (((session_type = 'develop'::text) OR (toggles = '{}'::text[]))),
    CONSTRAINT automations_trigger_check CHECK ((trigger = ANY (ARRAY['manual'::text, 'one_time'::text, 'recurring'::text, 'loop'::text, 'http'::text]))),
    CONSTRAINT automations_unchanged CHECK (((NOT only_unchanged) OR (auto_complete AND (session_type = 'develop'::text)))),
    CONSTRAINT automations_workflow CHECK (((execution_type = 'inline'::text) OR (session_type = 'develop'::text))),
    CONSTRAINT automations_workflow_id CHECK (((workflow_id IS NULL) OR (execution_type = 'workflow'::text))),
    CONSTRAINT automations_zone CHECK (((trigger = ANY (ARRAY['recurring'::text, 'one_time'::text])) = (time_zone <> ''::text)))
)
WITH (fillfactor='70');
CREATE TABLE public.bots (
    id uuid NOT NULL,
    workspace_id uuid,
    name text NOT NULL,
    instructions text DEFAULT ''::text NOT NULL,
    provider text DEFAULT ''::text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    locks_agent boolean DEFAULT false NOT NULL,
    allowed_tools text[] DEFAULT '{}'::text[] NOT NULL,
    read_only boolean DEFAULT false NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    changed_by uuid,
    CONSTRAINT bots_name_check CHECK (((name <> ''::text) AND (length(name) <= 200)))
);
CREATE TABLE public.bun_migration_locks (
    id bigint NOT NULL,
    table_name character varying
);
CREATE SEQUENCE public.bun_migration_locks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.bun_migration_locks_id_seq OWNED BY public.bun_migration_locks.id;
CREATE TABLE public.bun_migrations (
    id bigint NOT NULL,
    name character varying,
    group_id bigint,
    migrated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE SEQUENCE public.bun_migrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.bun_migrations_id_seq OWNED BY public.bun_migrations.id;
CREATE TABLE public.execution_attempts (
    execution_id uuid NOT NULL,
    attempt integer NOT NULL,
    turn_id uuid,
    failed_at timestamp with time zone NOT NULL,
    retry_at timestamp with time zone NOT NULL,
    error_class text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT execution_attempts_attempt_check CHECK ((attempt > 0))
);
CREATE TABLE public.executions (
    id uuid NOT NULL,
    automation_id uuid NOT NULL,
    session_id uuid,
    source text,
    mark text DEFAULT ''::text NOT NULL,
    user_id uuid,
    token_fingerprint text DEFAULT ''::text NOT NULL,
    status text NOT NULL,
    parallel boolean DEFAULT false NOT NULL,
    neutral boolean DEFAULT false NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    error_class text DEFAULT ''::text NOT NULL,
    exit_code integer,
    blocked_by uuid,
    scheduled_for timestamp with time zone,
    skip_count integer DEFAULT 0 NOT NULL,
    last_skipped_for timestamp with time zone,
    iteration integer DEFAULT 0 NOT NULL,
    answer text DEFAULT ''::text NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    unresolved text[],
    snapshot jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    turns integer DEFAULT 0 NOT NULL,
    counted integer DEFAULT 0 NOT NULL,
    priced integer DEFAULT 0 NOT NULL,
    tokens_in bigint DEFAULT 0 NOT NULL,
    tokens_cached bigint DEFAULT 0 NOT NULL,
    tokens_out bigint DEFAULT 0 NOT NULL,
    cost_usd double precision DEFAULT 0 NOT NULL,
    result text DEFAULT ''::text NOT NULL,
    worked_seconds double precision DEFAULT 0 NOT NULL,
    CONSTRAINT executions_check CHECK (((status = ANY (ARRAY['queued'::text, 'running'::text])) = (finished_at IS NULL))),
    CONSTRAINT executions_check1 CHECK (((status <> 'running'::text) OR (started_at IS NOT NULL))),
    CONSTRAINT executions_check2 CHECK (((source = 'manual'::text) OR (user_id IS NULL))),
    CONSTRAINT executions_check3 CHECK (((source = 'webhook'::text) OR (token_fingerprint = ''::text))),
    CONSTRAINT executions_check4 CHECK (((status = ANY (ARRAY['skipped'::text, 'missed'::text])) = (skip_count > 0))),
    CONSTRAINT executions_mark_check CHECK ((mark = ANY (ARRAY[''::text, 'loop'::text, 'catch_up'::text, 'replay'::text]))),
    CONSTRAINT executions_result_check CHECK ((result = ANY (ARRAY[''::text, 'nothing_to_do'::text]))),
    CONSTRAINT executions_source_check CHECK ((source = ANY (ARRAY['schedule'::text, 'manual'::text, 'webhook'::text]))),
    CONSTRAINT executions_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text, 'timed_out'::text, 'skipped'::text, 'missed'::text])))
);
CREATE TABLE public.logins (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL
);
CREATE TABLE public.notice_deliveries (
    id uuid NOT NULL,
    notification_id uuid NOT NULL,
    channel text NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    last_error text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    CONSTRAINT notice_deliveries_channel_check CHECK ((channel = ANY (ARRAY['email'::text, 'webhook'::text]))),
    CONSTRAINT notice_deliveries_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'sent'::text, 'failed'::text])))
);
CREATE TABLE public.notice_preferences (
    user_id uuid NOT NULL,
    email boolean DEFAULT false NOT NULL,
    webhook_url text DEFAULT ''::text NOT NULL,
    webhook_secret bytea,
    muted text[] DEFAULT '{}'::text[] NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT notice_preferences_check CHECK (((webhook_url = ''::text) OR (webhook_secret IS NOT NULL)))
);
CREATE TABLE public.notifications (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    automation_id uuid,
    execution_id uuid,
    session_id uuid,
    link text DEFAULT ''::text NOT NULL,
    dedup_key text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    read_at timestamp with time zone,
    starred_at timestamp with time zone,
    dismissed_at timestamp with time zone,
    workspace_id uuid
);
CREATE TABLE public.password_links (
    user_id uuid NOT NULL,
    hash bytea NOT NULL,
    invites boolean NOT NULL,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    confirms boolean DEFAULT false NOT NULL,
    mailed boolean DEFAULT false NOT NULL,
    CONSTRAINT password_links_confirms CHECK (((NOT confirms) OR (NOT invites))),
    CONSTRAINT password_links_hash_check CHECK ((octet_length(hash) = 32))
);
CREATE TABLE public.provider_pauses (
    provider text NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    failed_at timestamp with time zone NOT NULL,
    failures integer NOT NULL,
    error_class text NOT NULL,
    reason text NOT NULL,
    workspace_id uuid,
    keys text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT provider_pauses_failures_check CHECK ((failures > 0))
);
CREATE TABLE public.provider_trials (
    provider text NOT NULL,
    requested_by uuid,
    requested_at timestamp with time zone NOT NULL,
    worker text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    error_class text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    answer text DEFAULT ''::text NOT NULL,
    usage jsonb,
    CONSTRAINT provider_trials_check CHECK (((finished_at IS NULL) OR (started_at IS NOT NULL)))
);
CREATE TABLE public.pull_requests (
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    forge text NOT NULL,
    repository text NOT NULL,
    number bigint NOT NULL,
    url text NOT NULL,
    key text NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    branch text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    found_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    remote_at timestamp with time zone,
    checked_at timestamp with time zone,
    settled_at timestamp with time zone,
    problem text DEFAULT ''::text NOT NULL,
    CONSTRAINT pull_requests_forge_check CHECK ((forge = ANY (ARRAY['github'::text, 'gitlab'::text, 'gitea'::text, 'azure'::text]))),
    CONSTRAINT pull_requests_found_by_check CHECK ((found_by = ANY (ARRAY['output'::text, 'branch'::text, 'hand'::text, 'created'::text, 'webhook'::text]))),
    CONSTRAINT pull_requests_number_check CHECK ((number > 0)),
    CONSTRAINT pull_requests_state_check CHECK ((state = ANY (ARRAY['open'::text, 'merged'::text, 'closed'::text])))
);
CREATE TABLE public.refused_calls (
    session_id uuid NOT NULL,
    tool text NOT NULL,
    reason text NOT NULL,
    times integer DEFAULT 1 NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.refused_models (
    provider text NOT NULL,
    model text NOT NULL,
    refused_at timestamp with time zone NOT NULL,
    reason text NOT NULL
);
CREATE TABLE public.roles (
    id uuid NOT NULL,
    name text NOT NULL,
    key text,
    permissions text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT roles_name_check CHECK (((name <> ''::text) AND (length(name) <= 100)))
);
CREATE TABLE public.servers (
    id text NOT NULL,
    name text NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    machine jsonb NOT NULL
);
CREATE TABLE public.session_events (
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    turn_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL
);
CREATE TABLE public.session_moves (
    session_id uuid NOT NULL,
    worker text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    seen_at timestamp with time zone,
    fence bigint NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.session_reports (
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    ticket_id uuid,
    outcome text NOT NULL,
    summary text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT session_reports_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'nothing_to_do'::text, 'blocked'::text, 'failed'::text])))
);
CREATE TABLE public.session_tokens (
    hash bytea NOT NULL,
    session_id uuid NOT NULL,
    turn_id uuid NOT NULL,
    fence bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT session_tokens_hash_check CHECK ((octet_length(hash) = 32))
);
CREATE TABLE public.sessions (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    automation_id uuid,
    owner_id uuid NOT NULL,
    bot_id uuid,
    type text NOT NULL,
    title text NOT NULL,
    status text NOT NULL,
    provider text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    base_branch text DEFAULT ''::text NOT NULL,
    branch text DEFAULT ''::text NOT NULL,
    base_commit text DEFAULT ''::text NOT NULL,
    conversation text DEFAULT ''::text NOT NULL,
    files_changed integer DEFAULT 0 NOT NULL,
    lines_added integer DEFAULT 0 NOT NULL,
    lines_removed integer DEFAULT 0 NOT NULL,
    diff text DEFAULT ''::text NOT NULL,
    diff_cut boolean DEFAULT false NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    queued_at timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    closed_at timestamp with time zone,
    closed_by uuid,
    worktree_removed_at timestamp with time zone,
    worker text DEFAULT ''::text NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    cancel_requested_by uuid,
    pr_requested_at timestamp with time zone,
    pr_requested_by uuid,
    pr_error text DEFAULT ''::text NOT NULL,
    pr_checked_at timestamp with time zone,
    pr_changed_at timestamp with time zone,
    changes_at timestamp with time zone,
    interrupt_requested_at timestamp with time zone,
    interrupt_requested_by uuid,
    forget boolean DEFAULT false NOT NULL,
    reopened_at timestamp with time zone,
    interrupt_turn uuid,
    cancel_turn uuid,
    at_work_since timestamp with time zone,
    resumes integer DEFAULT 0 NOT NULL,
    commits integer DEFAULT 0 NOT NULL,
    stashes integer DEFAULT 0 NOT NULL,
    ignored_files integer DEFAULT 0 NOT NULL,
    made_branches text DEFAULT ''::text NOT NULL,
    not_saved text DEFAULT ''::text NOT NULL,
    outages integer DEFAULT 0 NOT NULL,
    at_gate boolean DEFAULT false NOT NULL,
    people uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT sessions_check CHECK (((status = 'queued'::text) = (queued_at IS NOT NULL))),
    CONSTRAINT sessions_check1 CHECK (((status = 'in_progress'::text) = (lease_until IS NOT NULL))),
    CONSTRAINT sessions_check2 CHECK (((status = ANY (ARRAY['done'::text, 'canceled'::text])) = (closed_at IS NOT NULL))),
    CONSTRAINT sessions_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'in_progress'::text, 'waiting'::text, 'done'::text, 'canceled'::text]))),
    CONSTRAINT sessions_type_check CHECK ((type = ANY (ARRAY['develop'::text, 'chat'::text, 'bot'::text])))
);
CREATE TABLE public.set_aside (
    task text NOT NULL,
    key text NOT NULL,
    about text NOT NULL,
    since timestamp with time zone NOT NULL,
    times integer NOT NULL,
    until timestamp with time zone NOT NULL,
    error text NOT NULL,
    CONSTRAINT set_aside_times_check CHECK ((times > 0))
);
CREATE TABLE public.settings (
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.sign_in_failures (
    key bytea NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.signed_bodies (
    automation_id uuid,
    workspace_id uuid,
    signature bytea NOT NULL,
    at timestamp with time zone NOT NULL,
    answer jsonb NOT NULL,
    CONSTRAINT signed_bodies_owner CHECK ((num_nonnulls(automation_id, workspace_id) = 1))
);
CREATE TABLE public.ticket_numbers (
    workspace_id uuid NOT NULL,
    last bigint NOT NULL
);
CREATE TABLE public.ticket_sessions (
    ticket_id uuid NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.tickets (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    number bigint NOT NULL,
    title text NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    priority smallint NOT NULL,
    status text NOT NULL,
    assignee_id uuid,
    labels text[] DEFAULT '{}'::text[] NOT NULL,
    created_by uuid,
    created_session uuid,
    claimed_by uuid,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT tickets_check CHECK (((status = ANY (ARRAY['done'::text, 'canceled'::text])) = (closed_at IS NOT NULL))),
    CONSTRAINT tickets_check1 CHECK (((claimed_by IS NULL) OR (status = 'in_progress'::text))),
    CONSTRAINT tickets_number_check CHECK ((number > 0)),
    CONSTRAINT tickets_priority_check CHECK (((priority >= 1) AND (priority <= 4))),
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['open'::text, 'in_progress'::text, 'done'::text, 'canceled'::text]))),
    CONSTRAINT tickets_title_check CHECK ((title <> ''::text))
);
CREATE TABLE public.transfer_offers (
    automation_id uuid NOT NULL,
    to_id uuid NOT NULL,
    from_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.trigger_tokens (
    hash bytea NOT NULL,
    automation_id uuid NOT NULL,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT trigger_tokens_hash_check CHECK ((octet_length(hash) = 32))
);
CREATE TABLE public.turns (
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    execution_id uuid,
    "position" integer NOT NULL,
    kind text NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    author_id uuid,
    prompt text NOT NULL,
    status text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    answer text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    conversation text DEFAULT ''::text NOT NULL,
    counted boolean DEFAULT false NOT NULL,
    priced boolean DEFAULT false NOT NULL,
    tokens_in bigint DEFAULT 0 NOT NULL,
    tokens_cached bigint DEFAULT 0 NOT NULL,
    tokens_out bigint DEFAULT 0 NOT NULL,
    cost_usd double precision DEFAULT 0 NOT NULL,
    own boolean DEFAULT false NOT NULL,
    ended_seq bigint,
    CONSTRAINT turns_cost_usd_check CHECK (((cost_usd >= (0)::double precision) AND (cost_usd < ('1000000000000'::numeric)::double precision))),
    CONSTRAINT turns_kind_check CHECK ((kind = ANY (ARRAY['prompt'::text, 'reply'::text, 'step'::text, 'review'::text, 'verification'::text]))),
    CONSTRAINT turns_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text]))),
    CONSTRAINT turns_tokens_cached_check CHECK ((tokens_cached >= 0)),
    CONSTRAINT turns_tokens_in_check CHECK ((tokens_in >= 0)),
    CONSTRAINT turns_tokens_out_check CHECK ((tokens_out >= 0))
);
CREATE TABLE public.user_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL,
    email text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL,
    CONSTRAINT user_identities_issuer_check CHECK ((issuer <> ''::text)),
    CONSTRAINT user_identities_subject_check CHECK (((subject <> ''::text) AND (length(subject) <= 255)))
);
CREATE TABLE public.user_roles (
    user_id uuid NOT NULL,
    role_id uuid NOT NULL
);
CREATE TABLE public.users (
    id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text DEFAULT ''::text NOT NULL,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    theme text DEFAULT ''::text NOT NULL,
    deactivated_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    email_changed_at timestamp with time zone,
    CONSTRAINT users_email_check CHECK (((email <> ''::text) AND (length(email) <= 254))),
    CONSTRAINT users_name_check CHECK (((name <> ''::text) AND (length(name) <= 200))),
    CONSTRAINT users_theme_check CHECK ((theme = ANY (ARRAY[''::text, 'light'::text, 'dark'::text])))
);
CREATE TABLE public.webhook_deliveries (
    id uuid NOT NULL,
    automation_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    method text NOT NULL,
    address text NOT NULL,
    fingerprint text NOT NULL,
    headers jsonb NOT NULL,
    query text DEFAULT ''::text NOT NULL,
    size bigint NOT NULL,
    body bytea NOT NULL,
    verdict text NOT NULL,
    status integer NOT NULL,
    answer jsonb NOT NULL,
    execution_id uuid,
    blocked_by uuid,
    folded integer DEFAULT 1 NOT NULL,
    last_at timestamp with time zone NOT NULL,
    sealed bytea,
    head uuid,
    CONSTRAINT webhook_deliveries_verdict_check CHECK ((verdict = ANY (ARRAY['started'::text, 'busy'::text, 'filtered'::text, 'signature'::text, 'invalid'::text, 'too_large'::text, 'unable'::text, 'duplicate'::text, 'error'::text])))
);
CREATE TABLE public.webhook_keys (
    automation_id uuid NOT NULL,
    key text NOT NULL,
    at timestamp with time zone NOT NULL,
    status integer NOT NULL,
    answer jsonb NOT NULL,
    CONSTRAINT webhook_keys_key_check CHECK ((length(key) <= 300))
);
CREATE TABLE public.workers (
    id text NOT NULL,
    name text NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    providers jsonb DEFAULT '{}'::jsonb NOT NULL,
    places integer DEFAULT 0 NOT NULL,
    machine jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT workers_places_check CHECK ((places >= 0))
);
CREATE TABLE public.workflows (
    id uuid NOT NULL,
    workspace_id uuid,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    steps jsonb DEFAULT '[]'::jsonb NOT NULL,
    parameters jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    changed_by uuid,
    step_count integer GENERATED ALWAYS AS (jsonb_array_length(steps)) STORED NOT NULL,
    CONSTRAINT workflows_name_check CHECK (((name <> ''::text) AND (length(name) <= 200)))
);
CREATE TABLE public.workspace_members (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL
);
CREATE TABLE public.workspace_variables (
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    secret boolean NOT NULL,
    value text DEFAULT ''::text NOT NULL,
    sealed bytea,
    CONSTRAINT workspace_variables_check CHECK ((secret = (sealed IS NOT NULL))),
    CONSTRAINT workspace_variables_check1 CHECK (((NOT secret) OR (value = ''::text))),
    CONSTRAINT workspace_variables_name_check CHECK (((name ~ '^[A-Za-z_][A-Za-z0-9_]*$'::text) AND (length(name) <= 100)))
);
CREATE TABLE public.workspaces (
    id uuid NOT NULL,
    name text NOT NULL,
    git_url text DEFAULT ''::text NOT NULL,
    default_branch text NOT NULL,
    token_sealed bytea,
    provider text DEFAULT ''::text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    created_by uuid,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    forge text DEFAULT ''::text NOT NULL,
    forge_base text DEFAULT ''::text NOT NULL,
    forge_secret_sealed bytea,
    sandbox boolean DEFAULT false NOT NULL,
    sandbox_offline boolean DEFAULT false NOT NULL,
    idle_days integer,
    remote_anywhere boolean DEFAULT false NOT NULL,
    sandbox_shows text DEFAULT ''::text NOT NULL,
    CONSTRAINT workspaces_default_branch_check CHECK ((default_branch <> ''::text)),
    CONSTRAINT workspaces_forge_check CHECK ((forge = ANY (ARRAY[''::text, 'github'::text, 'gitlab'::text, 'gitea'::text, 'azure'::text]))),
    CONSTRAINT workspaces_idle_days_check CHECK (((idle_days >= 1) AND (idle_days <= 3650))),
    CONSTRAINT workspaces_name_check CHECK (((name <> ''::text) AND (length(name) <= 100)))
);
ALTER TABLE ONLY public.bun_migration_locks ALTER COLUMN id SET DEFAULT nextval('public.bun_migration_locks_id_seq'::regclass);
ALTER TABLE ONLY public.bun_migrations ALTER COLUMN id SET DEFAULT nextval('public.bun_migrations_id_seq'::regclass);
INSERT INTO public.api_tokens VALUES ('00000000-0000-7000-8000-000000000031', '00000000-0000-7000-8000-000000000001', 'build', '\x14c2529eb4498c5d1ffd6915d05bf58a91bdda796af59f41d480d11c099d0479', true, '{tickets.manage}', '2026-11-01 08:00:00+00', '2027-11-01 08:00:00+00', '2026-11-02 08:00:00+00', '192.0.2.1');
INSERT INTO public.audit_events VALUES ('00000000-0000-7000-8000-000000000041', '2026-11-01 08:00:00+00', '00000000-0000-7000-8000-000000000001', 'automation.update', 'automation', '00000000-0000-7000-8000-000000000081', 'Nightly', '00000000-0000-7000-8000-000000000051', 'why', '{"name": "Daily"}', '{"name": "Nightly"}', '192.0.2.1', 'build');
INSERT INTO public.automations VALUES ('00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000001', 'Nightly', 'recurring', NULL, '0 2 * * *', 'Europe/Berlin', NULL, '', 0, '2026-12-01 01:00:00+00', '2026-11-01 08:00:00+00', true, false, NULL, 'develop', 'inline', 'Update {{what}}.', NULL, NULL, '{"what": "dependencies"}', '', '', '', '{tests}', true, true, 21600, true, '', '', NULL, 1, '00000000-0000-7000-8000-0000000000a2', 4, '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', '', '', NULL, '{}', false, true, true, 3, '{"command": "test -f go.mod"}', '{"contains": "done"}', '{"day": {"money": 5}}', '{00000000-0000-7000-8000-000000000001}', '{00000000-0000-7000-8000-000000000002}');
INSERT INTO public.automations VALUES ('00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000001', 'On push', 'http', NULL, '', '', NULL, '', 0, NULL, NULL, false, true, 4, 'develop', 'workflow', '', '00000000-0000-7000-8000-000000000061', NULL, '{}', '', '', '', '{}', false, false, 21600, true, '', '', NULL, 0, NULL, 1, '2026-11-01 08:00:00+00', '2026-11-01 08:00:00+00', 'hmac', 'X-Signature', '\x04', '{"conditions": [{"field": "ref", "value": "main", "operator": "equals"}]}', true, false, false, 2, '{}', '{}', '{}', '{}', '{}');
INSERT INTO public.bots VALUES ('00000000-0000-7000-8000-000000000071', NULL, 'Reviewer', 'Look for mistakes.', 'claude', 'opus', true, '{Read}', true, true, '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', 2, '00000000-0000-7000-8000-000000000001');
INSERT INTO public.bun_migrations VALUES (1, '20261123000001', 1, '2026-11-30 16:07:39.507143+00');
INSERT INTO public.bun_migrations VALUES (3, '20261123000002', 1, '2026-11-30 16:07:39.659798+00');
INSERT INTO public.bun_migrations VALUES (5, '20261123000003', 1, '2026-11-30 16:07:39.666619+00');
INSERT INTO public.bun_migrations VALUES (7, '20261123000004', 1, '2026-11-30 16:07:39.70087+00');
INSERT INTO public.bun_migrations VALUES (9, '20261123000005', 1, '2026-11-30 16:07:39.706121+00');
INSERT INTO public.bun_migrations VALUES (11, '20261123000006', 1, '2026-11-30 16:07:39.708923+00');
INSERT INTO public.bun_migrations VALUES (13, '20261123000012', 1, '2026-11-30 16:07:39.723745+00');
INSERT INTO public.bun_migrations VALUES (15, '20261123000013', 1, '2026-11-30 16:07:39.730324+00');
INSERT INTO public.bun_migrations VALUES (17, '20261123000014', 1, '2026-11-30 16:07:39.734048+00');
INSERT INTO public.bun_migrations VALUES (19, '20261123000015', 1, '2026-11-30 16:07:39.73954+00');
INSERT INTO public.bun_migrations VALUES (21, '20261123000017', 1, '2026-11-30 16:07:39.741616+00');
INSERT INTO public.bun_migrations VALUES (23, '20261128000001', 1, '2026-11-30 16:07:39.747986+00');
INSERT INTO public.bun_migrations VALUES (25, '20261128000002', 1, '2026-11-30 16:07:39.74863+00');
INSERT INTO public.bun_migrations VALUES (27, '20261128000021', 1, '2026-11-30 16:07:39.749201+00');
INSERT INTO public.bun_migrations VALUES (29, '20261128000031', 1, '2026-11-30 16:07:39.750686+00');
INSERT INTO public.bun_migrations VALUES (31, '20261128000041', 1, '2026-11-30 16:07:39.75216+00');
INSERT INTO public.bun_migrations VALUES (33, '20261128000042', 1, '2026-11-30 16:07:39.753145+00');
INSERT INTO public.bun_migrations VALUES (35, '20261128000061', 1, '2026-11-30 16:07:39.754632+00');
INSERT INTO public.bun_migrations VALUES (37, '20261129000005', 1, '2026-11-30 16:07:39.757242+00');
INSERT INTO public.bun_migrations VALUES (39, '20261129000015', 1, '2026-11-30 16:07:39.758038+00');
INSERT INTO public.bun_migrations VALUES (41, '20261129000016', 1, '2026-11-30 16:07:39.75904+00');
INSERT INTO public.bun_migrations VALUES (43, '20261129000035', 1, '2026-11-30 16:07:39.759511+00');
INSERT INTO public.bun_migrations VALUES (45, '20261129000036', 1, '2026-11-30 16:07:39.760271+00');
INSERT INTO public.bun_migrations VALUES (47, '20261129000045', 1, '2026-11-30 16:07:39.76268+00');
INSERT INTO public.bun_migrations VALUES (49, '20261129000055', 1, '2026-11-30 16:07:39.764556+00');
INSERT INTO public.bun_migrations VALUES (51, '20261129000070', 1, '2026-11-30 16:07:39.767154+00');
INSERT INTO public.bun_migrations VALUES (53, '20261129000071', 1, '2026-11-30 16:07:39.768141+00');
INSERT INTO public.bun_migrations VALUES (55, '20261129000072', 1, '2026-11-30 16:07:39.769117+00');
INSERT INTO public.bun_migrations VALUES (57, '20261129000085', 1, '2026-11-30 16:07:39.769678+00');
INSERT INTO public.bun_migrations VALUES (59, '20261129000090', 1, '2026-11-30 16:07:39.772631+00');
INSERT INTO public.bun_migrations VALUES (61, '20261129100001', 1, '2026-11-30 16:07:39.774511+00');
INSERT INTO public.bun_migrations VALUES (63, '20261130000030', 1, '2026-11-30 16:07:39.784086+00');
INSERT INTO public.bun_migrations VALUES (65, '20261130000031', 1, '2026-11-30 16:07:39.786017+00');
INSERT INTO public.bun_migrations VALUES (67, '20261130000032', 1, '2026-11-30 16:07:39.787627+00');
INSERT INTO public.bun_migrations VALUES (69, '20261130000040', 1, '2026-11-30 16:07:39.788517+00');
INSERT INTO public.bun_migrations VALUES (71, '20261130000050', 1, '2026-11-30 16:07:39.789009+00');
INSERT INTO public.bun_migrations VALUES (73, '20261130000051', 1, '2026-11-30 16:07:39.791661+00');
INSERT INTO public.bun_migrations VALUES (75, '20261130000052', 1, '2026-11-30 16:07:39.792519+00');
INSERT INTO public.bun_migrations VALUES (77, '20261130000065', 1, '2026-11-30 16:07:39.794599+00');
INSERT INTO public.bun_migrations VALUES (79, '20261130000066', 1, '2026-11-30 16:07:39.795132+00');
INSERT INTO public.bun_migrations VALUES (81, '20261130000075', 1, '2026-11-30 16:07:39.797075+00');
INSERT INTO public.bun_migrations VALUES (83, '20261130000076', 1, '2026-11-30 16:07:39.798549+00');
INSERT INTO public.bun_migrations VALUES (85, '20261130100040', 1, '2026-11-30 16:07:39.799334+00');
INSERT INTO public.bun_migrations VALUES (87, '20261130100077', 1, '2026-11-30 16:07:39.799781+00');
INSERT INTO public.execution_attempts VALUES ('00000000-0000-7000-8000-0000000000a1', 1, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:02:00+00', '2026-11-02 01:03:00+00', 'transient', 'The network was away.');
INSERT INTO public.executions VALUES ('00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000091', 'schedule', 'catch_up', NULL, '', 'succeeded', false, false, '', '', 0, NULL, '2026-11-02 01:00:00+00', 0, NULL, 0, 'done', '{"what": "dependencies"}', '{}', '{"name": "Nightly"}', '2026-11-02 01:00:00+00', '2026-11-02 01:01:00+00', '2026-11-02 01:05:00+00', 1, 1, 1, 100, 20, 30, 0.25, 'nothing_to_do', 12.5);
INSERT INTO public.executions VALUES ('00000000-0000-7000-8000-0000000000a2', '00000000-0000-7000-8000-000000000081', NULL, 'schedule', '', NULL, '', 'skipped', false, false, 'a run was in flight', '', NULL, '00000000-0000-7000-8000-0000000000a1', '2026-11-03 01:00:00+00', 2, '2026-11-04 01:00:00+00', 0, '', '{}', NULL, '{}', '2026-11-03 01:00:00+00', NULL, '2026-11-03 01:00:00+00', 0, 0, 0, 0, 0, 0, 0, '', 0);
INSERT INTO public.executions VALUES ('00000000-0000-7000-8000-0000000000a3', '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000092', 'webhook', 'replay', NULL, '01234567', 'queued', true, false, '', '', NULL, NULL, NULL, 0, NULL, 0, '', '{"version": "1"}', NULL, '{"name": "On push"}', '2026-11-02 02:00:00+00', NULL, NULL, 0, 0, 0, 0, 0, 0, 0, '', 0);
INSERT INTO public.logins VALUES ('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', '2026-12-01 08:00:00+00', '192.0.2.1', 'Browser');
INSERT INTO public.notice_deliveries VALUES ('00000000-0000-7000-8000-000000000111', '00000000-0000-7000-8000-000000000101', 'email', 'queued', 1, '2026-11-02 01:10:00+00', 'no route', '2026-11-02 01:05:00+00', NULL);
INSERT INTO public.notice_preferences VALUES ('00000000-0000-7000-8000-000000000001', true, 'https://hooks.example.com', '\x08', '{missed}', '2026-11-01 08:00:00+00');
INSERT INTO public.notifications VALUES ('00000000-0000-7000-8000-000000000101', '00000000-0000-7000-8000-000000000001', 'failed', 'Nightly failed', 'It did.', '00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-000000000091', 'https://git.example.com', 'failed a1', '2026-11-02 01:05:00+00', '2026-11-02 08:00:00+00', '2026-11-02 08:00:00+00', NULL, '00000000-0000-7000-8000-000000000051');
INSERT INTO public.password_links VALUES ('00000000-0000-7000-8000-000000000002', '\xb1b1bdb480c61d075300d9bff7d9cb69cf31695ea048e478facadf426e8d0fb0', true, '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-08 08:00:00+00', false, true);
INSERT INTO public.provider_pauses VALUES ('claude', '2026-11-02 01:00:00+00', '2026-11-02 02:00:00+00', '2026-11-02 01:30:00+00', 2, 'rate_limit', 'used up', NULL, '{}');
INSERT INTO public.provider_pauses VALUES ('claude', '2026-11-02 01:00:00+00', '2026-11-02 02:00:00+00', '2026-11-02 01:30:00+00', 1, 'auth', 'not signed in', '00000000-0000-7000-8000-000000000051', '{ANTHROPIC_%}');
INSERT INTO public.provider_trials VALUES ('claude', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', 'worker-1', '2026-11-01 08:01:00+00', '2026-11-01 08:02:00+00', '', '', 'ok', '{"input": 1}');
INSERT INTO public.pull_requests VALUES ('00000000-0000-7000-8000-0000000000c1', '00000000-0000-7000-8000-000000000091', 'gitea', 'team/shop', 7, 'https://git.example.com/team/shop/pulls/7', 'git.example.com/team/shop/7', 'Update', 'carillon/91', 'open', 'created', '2026-11-02 01:06:00+00', '2026-11-02 01:06:00+00', '2026-11-02 01:06:00+00', '2026-11-02 01:06:00+00', NULL, '');
INSERT INTO public.refused_calls VALUES ('00000000-0000-7000-8000-000000000091', 'create_ticket', 'may not', 2, '2026-11-02 01:02:00+00');
INSERT INTO public.refused_models VALUES ('claude', 'opus', '2026-11-02 01:00:00+00', 'not in the plan');
INSERT INTO public.roles VALUES ('01a22d36-4018-74d0-a815-88260b088052', 'Administrator', 'administrator', '{admin}', '2026-11-30 16:07:39.800275+00', NULL, 1);
INSERT INTO public.roles VALUES ('01a22d36-401a-7d65-8859-b7ab715f676b', 'Manager', 'manager', '{automations.manage_all,workflows.manage,bots.manage,tickets.manage,shell.use}', '2026-11-30 16:07:39.800275+00', NULL, 1);
INSERT INTO public.roles VALUES ('01a22d36-401b-7421-a217-225895fd2cb1', 'Member', 'member', '{automations.manage,tickets.manage,shell.use}', '2026-11-30 16:07:39.800275+00', NULL, 1);
INSERT INTO public.roles VALUES ('00000000-0000-7000-8000-000000000011', 'Reader', NULL, '{tickets.manage}', '2026-11-01 08:00:00+00', NULL, 1);
INSERT INTO public.servers VALUES ('server-1', 'host-2', '2026-11-02 01:00:00+00', '{"roles": ["web"]}');
INSERT INTO public.session_events VALUES ('00000000-0000-7000-8000-000000000091', 1, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:02:00+00', 'text', '{"text": "I look."}');
INSERT INTO public.session_events VALUES ('00000000-0000-7000-8000-000000000091', 2, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:05:00+00', 'turn_end', '{"usage": {"input": 100}}');
INSERT INTO public.session_moves VALUES ('00000000-0000-7000-8000-000000000091', 'worker-0', 'host-0', '2026-11-01 01:00:00+00', 1, '2026-11-02 01:00:00+00');
INSERT INTO public.session_reports VALUES ('00000000-0000-7000-8000-0000000000e1', '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-0000000000d1', 'blocked', 'A key is missing.', '2026-11-02 01:04:00+00');
INSERT INTO public.session_tokens VALUES ('\x3f3af1ecebbd1410ab417ec0d27bbfcb5d340e177ae159b59fc8626c2dfd9175', '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-0000000000b1', 2, '2026-11-02 01:01:00+00');
INSERT INTO public.sessions VALUES ('00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000001', NULL, 'develop', 'Nightly', 'waiting', 'claude', 'opus', 'main', 'carillon/91', 'abc123', 'conversation', 1, 2, 3, '+ a line', false, 2, '2026-11-02 01:00:00+00', NULL, '2026-11-02 01:01:00+00', '2026-11-02 01:05:00+00', NULL, NULL, NULL, 'worker-1', 2, NULL, NULL, NULL, NULL, NULL, '', '2026-11-02 01:06:00+00', '2026-11-02 01:07:00+00', '2026-11-02 01:05:00+00', NULL, NULL, false, '2026-11-02 09:00:00+00', NULL, NULL, '2026-11-02 01:01:00+00', 1, 1, 1, 4, 'other', 'One file was lost.', 1, false, '{00000000-0000-7000-8000-000000000001}');
INSERT INTO public.sessions VALUES ('00000000-0000-7000-8000-000000000092', '00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000071', 'bot', 'On push', 'queued', 'claude', '', '', '', '', '', 0, 0, 0, '', false, 0, '2026-11-02 02:00:00+00', '2026-11-02 02:00:00+00', NULL, NULL, NULL, NULL, NULL, '', 0, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, 0, 0, 0, '', '', 0, true, '{}');
INSERT INTO public.set_aside VALUES ('start', '00000000-0000-7000-8000-000000000081', 'Nightly', '2026-11-02 01:00:00+00', 2, '2026-11-02 01:01:00+00', 'no disk');
INSERT INTO public.settings VALUES ('providers', '{"disabled": ["other"]}', '2026-11-01 08:00:00+00');
INSERT INTO public.settings VALUES ('toggle.tests', '"Run the tests."', '2026-11-01 08:00:00+00');
INSERT INTO public.sign_in_failures VALUES ('\x0102', '2026-11-01 08:00:00+00');
INSERT INTO public.signed_bodies VALUES ('00000000-0000-7000-8000-000000000082', NULL, '\x06', '2026-11-02 02:00:00+00', '{"success": true}');
INSERT INTO public.signed_bodies VALUES (NULL, '00000000-0000-7000-8000-000000000051', '\x07', '2026-11-02 02:00:00+00', '{}');
INSERT INTO public.ticket_numbers VALUES ('00000000-0000-7000-8000-000000000051', 1);
INSERT INTO public.ticket_sessions VALUES ('00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-000000000091', '2026-11-02 01:03:00+00');
INSERT INTO public.tickets VALUES ('00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-000000000051', 1, 'A mistake', 'It fails.', 2, 'in_progress', '00000000-0000-7000-8000-000000000001', '{bug}', '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-000000000091', 2, '2026-11-02 01:02:00+00', '2026-11-02 01:03:00+00', NULL);
INSERT INTO public.transfer_offers VALUES ('00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', '2026-11-02 08:00:00+00');
INSERT INTO public.trigger_tokens VALUES ('\xcba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4', '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00');
INSERT INTO public.trigger_tokens VALUES ('\x11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437', '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001', '2026-11-02 08:00:00+00', NULL);
INSERT INTO public.turns VALUES ('00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-0000000000a1', 1, 'prompt', '', NULL, 'Update dependencies.', 'succeeded', '', 'done', '2026-11-02 01:00:00+00', '2026-11-02 01:01:00+00', '2026-11-02 01:05:00+00', 'conversation', true, true, 100, 20, 30, 0.25, false, 2);
INSERT INTO public.turns VALUES ('00000000-0000-7000-8000-0000000000b2', '00000000-0000-7000-8000-000000000092', '00000000-0000-7000-8000-0000000000a3', 1, 'step', 'Notes', '00000000-0000-7000-8000-000000000001', 'Write the notes.', 'queued', '', '', '2026-11-02 02:00:00+00', NULL, NULL, '', false, false, 0, 0, 0, 0, true, NULL);
INSERT INTO public.user_identities VALUES ('https://id.example.com', 'ada', '00000000-0000-7000-8000-000000000001', 'ada@example.com', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00');
INSERT INTO public.user_roles VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000011');
INSERT INTO public.users VALUES ('00000000-0000-7000-8000-000000000001', 'ada@example.com', 'Ada', 'hash', 'Europe/Berlin', 'dark', NULL, '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', '2026-11-02 08:00:00+00');
INSERT INTO public.users VALUES ('00000000-0000-7000-8000-000000000002', 'ben@example.com', 'Ben', '', 'UTC', '', NULL, '2026-11-01 08:00:00+00', '2026-11-01 08:00:00+00', NULL);
INSERT INTO public.webhook_deliveries VALUES ('00000000-0000-7000-8000-0000000000f1', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:00:00+00', 'POST', '192.0.2.2', '01234567', '{"Content-Type": "application/json"}', 'a=b', 2, '\x7b7d', 'started', 202, '{"success": true}', '00000000-0000-7000-8000-0000000000a3', NULL, 1, '2026-11-02 02:00:00+00', '\x05', NULL);
INSERT INTO public.webhook_deliveries VALUES ('00000000-0000-7000-8000-0000000000f2', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:01:00+00', 'POST', '192.0.2.2', '01234567', '{}', '', 2, '\x7b7d', 'busy', 409, '{"success": false}', NULL, '00000000-0000-7000-8000-0000000000a3', 2, '2026-11-02 02:02:00+00', NULL, NULL);
INSERT INTO public.webhook_deliveries VALUES ('00000000-0000-7000-8000-0000000000f3', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:02:00+00', 'POST', '192.0.2.2', '01234567', '{}', '', 2, '\x7b7d', 'busy', 409, '{"success": false}', NULL, '00000000-0000-7000-8000-0000000000a3', 1, '2026-11-02 02:02:00+00', NULL, '00000000-0000-7000-8000-0000000000f2');
INSERT INTO public.webhook_keys VALUES ('00000000-0000-7000-8000-000000000082', 'delivery-1', '2026-11-02 02:00:00+00', 202, '{"success": true}');
INSERT INTO public.workers VALUES ('worker-1', 'host-1', '2026-11-02 01:00:00+00', '{"claude": {"version": "1"}}', 4, '{"roles": ["worker"]}');
INSERT INTO public.workflows VALUES ('00000000-0000-7000-8000-000000000061', '00000000-0000-7000-8000-000000000051', 'Release', 'Notes and a tag', '[{"kind": "message", "text": "Write the notes."}, {"kind": "complete_session"}]', '[{"type": "text", "alias": "version", "required": true}]', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', 2, '00000000-0000-7000-8000-000000000002', DEFAULT);
INSERT INTO public.workspace_members VALUES ('00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000001');
INSERT INTO public.workspace_variables VALUES ('00000000-0000-7000-8000-000000000051', 'STAGE', false, 'test', NULL);
INSERT INTO public.workspace_variables VALUES ('00000000-0000-7000-8000-000000000051', 'API_KEY', true, '', '\x03');
INSERT INTO public.workspaces VALUES ('01a22d36-402d-7529-8fd6-7998fabbbfc7', 'Scratch', '', 'main', NULL, 'shell', '', NULL, '2026-11-30 16:07:39.821335+00', '2026-11-30 16:07:39.821335+00', NULL, 1, '', '', NULL, true, false, NULL, false, '');
INSERT INTO public.workspaces VALUES ('00000000-0000-7000-8000-000000000051', 'Shop', 'https://git.example.com/shop.git', 'main', '\x01', 'claude', 'opus', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00:00+00', '2026-11-02 08:00:00+00', NULL, 3, 'gitea', 'https://git.example.com', '\x02', true, true, 30, true, '~/.npmrc');
SELECT pg_catalog.setval('public.bun_migration_locks_id_seq', 1, false);
SELECT pg_catalog.setval('public.bun_migrations_id_seq', 88, true);
ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.bots
    ADD CONSTRAINT bots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.bun_migration_locks
    ADD CONSTRAINT bun_migration_locks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.bun_migration_locks
    ADD CONSTRAINT bun_migration_locks_table_name_key UNIQUE (table_name);
ALTER TABLE ONLY public.bun_migrations
    ADD CONSTRAINT bun_migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.execution_attempts
    ADD CONSTRAINT execution_attempts_pkey PRIMARY KEY (execution_id, attempt);
ALTER TABLE ONLY public.executions
    ADD CONSTRAINT executions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.executions
    ADD CONSTRAINT executions_session_id_key UNIQUE (session_id);
ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.notice_deliveries
    ADD CONSTRAINT notice_deliveries_notification_id_channel_key UNIQUE (notification_id, channel);
ALTER TABLE ONLY public.notice_deliveries
    ADD CONSTRAINT notice_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.notice_preferences
    ADD CONSTRAINT notice_preferences_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.password_links
    ADD CONSTRAINT password_links_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.password_links
    ADD CONSTRAINT password_links_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.provider_trials
    ADD CONSTRAINT provider_trials_pkey PRIMARY KEY (provider);
ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_session_id_key_key UNIQUE (session_id, key);
ALTER TABLE ONLY public.refused_calls
    ADD CONSTRAINT refused_calls_pkey PRIMARY KEY (session_id, tool, reason);
ALTER TABLE ONLY public.refused_models
    ADD CONSTRAINT refused_models_pkey PRIMARY KEY (provider, model);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_key_key UNIQUE (key);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.servers
    ADD CONSTRAINT servers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session_events
    ADD CONSTRAINT session_events_pkey PRIMARY KEY (session_id, seq);
ALTER TABLE ONLY public.session_moves
    ADD CONSTRAINT session_moves_pkey PRIMARY KEY (session_id, worker);
ALTER TABLE ONLY public.session_reports
    ADD CONSTRAINT session_reports_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session_tokens
    ADD CONSTRAINT session_tokens_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.set_aside
    ADD CONSTRAINT set_aside_pkey PRIMARY KEY (task, key);
ALTER TABLE ONLY public.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.ticket_numbers
    ADD CONSTRAINT ticket_numbers_pkey PRIMARY KEY (workspace_id);
ALTER TABLE ONLY public.ticket_sessions
    ADD CONSTRAINT ticket_sessions_pkey PRIMARY KEY (ticket_id, session_id);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_workspace_id_number_key UNIQUE (workspace_id, number);
ALTER TABLE ONLY public.transfer_offers
    ADD CONSTRAINT transfer_offers_pkey PRIMARY KEY (automation_id);
ALTER TABLE ONLY public.trigger_tokens
    ADD CONSTRAINT trigger_tokens_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_session_id_position_key UNIQUE (session_id, "position");
ALTER TABLE ONLY public.user_identities
    ADD CONSTRAINT user_identities_one UNIQUE (user_id, issuer);
ALTER TABLE ONLY public.user_identities
    ADD CONSTRAINT user_identities_pkey PRIMARY KEY (issuer, subject);
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_pkey PRIMARY KEY (user_id, role_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_keys
    ADD CONSTRAINT webhook_keys_pkey PRIMARY KEY (automation_id, key);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.workflows
    ADD CONSTRAINT workflows_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.workspace_members
    ADD CONSTRAINT workspace_members_pkey PRIMARY KEY (workspace_id, user_id);
ALTER TABLE ONLY public.workspace_variables
    ADD CONSTRAINT workspace_variables_pkey PRIMARY KEY (workspace_id, name);
ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT workspaces_pkey PRIMARY KEY (id);
CREATE INDEX api_tokens_expiry ON public.api_tokens USING btree (expires_at);
CREATE INDEX api_tokens_user ON public.api_tokens USING btree (user_id, id DESC);
CREATE INDEX audit_events_action ON public.audit_events USING btree (action text_pattern_ops, id DESC);
CREATE INDEX audit_events_actor ON public.audit_events USING btree (actor_id, id DESC);
CREATE INDEX audit_events_at ON public.audit_events USING btree (id DESC);
CREATE INDEX audit_events_subject ON public.audit_events USING btree (subject_id, at DESC);
CREATE INDEX audit_events_workspace ON public.audit_events USING btree (workspace_id, id DESC) WHERE (workspace_id IS NOT NULL);
CREATE INDEX automations_bot ON public.automations USING btree (bot_id) WHERE (bot_id IS NOT NULL);
CREATE INDEX automations_creator ON public.automations USING btree (creator_id);
CREATE INDEX automations_due ON public.automations USING btree (next_run_at, id) WHERE (enabled AND (next_run_at IS NOT NULL));
CREATE INDEX automations_workflow_used ON public.automations USING btree (workflow_id) WHERE (workflow_id IS NOT NULL);
CREATE INDEX automations_workspace ON public.automations USING btree (workspace_id, lower(name), id);
CREATE UNIQUE INDEX bun_migrations_name_unique ON public.bun_migrations USING btree (name);
CREATE INDEX execution_attempts_turn ON public.execution_attempts USING btree (turn_id) WHERE (turn_id IS NOT NULL);
CREATE INDEX executions_automation ON public.executions USING btree (automation_id, id DESC);
CREATE INDEX executions_failed ON public.executions USING btree (id DESC) WHERE (status = ANY (ARRAY['failed'::text, 'timed_out'::text]));
CREATE INDEX executions_in_flight ON public.executions USING btree (automation_id) WHERE (status = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE INDEX executions_nothing_to_do ON public.executions USING btree (id DESC) WHERE (result = 'nothing_to_do'::text);
CREATE UNIQUE INDEX executions_once ON public.executions USING btree (automation_id, scheduled_for) WHERE (source = 'schedule'::text);
CREATE UNIQUE INDEX executions_one_in_flight ON public.executions USING btree (automation_id) WHERE ((status = ANY (ARRAY['queued'::text, 'running'::text])) AND (NOT parallel));
CREATE INDEX executions_user ON public.executions USING btree (user_id, id DESC) WHERE (user_id IS NOT NULL);
CREATE INDEX logins_expiry ON public.logins USING btree (expires_at);
CREATE INDEX logins_user ON public.logins USING btree (user_id);
CREATE INDEX notice_deliveries_queue ON public.notice_deliveries USING btree (channel, next_attempt_at) WHERE (status = 'queued'::text);
CREATE INDEX notifications_automation ON public.notifications USING btree (automation_id, user_id) WHERE (automation_id IS NOT NULL);
CREATE INDEX notifications_execution ON public.notifications USING btree (execution_id) WHERE (execution_id IS NOT NULL);
CREATE INDEX notifications_list ON public.notifications USING btree (user_id, id DESC) WHERE (dismissed_at IS NULL);
CREATE UNIQUE INDEX notifications_once ON public.notifications USING btree (user_id, dedup_key);
CREATE INDEX notifications_session ON public.notifications USING btree (session_id) WHERE (session_id IS NOT NULL);
CREATE INDEX notifications_unread ON public.notifications USING btree (user_id) WHERE ((read_at IS NULL) AND (dismissed_at IS NULL));
CREATE INDEX notifications_workspace ON public.notifications USING btree (workspace_id) WHERE (workspace_id IS NOT NULL);
CREATE INDEX password_links_maker ON public.password_links USING btree (created_by) WHERE (created_by IS NOT NULL);
CREATE UNIQUE INDEX provider_pauses_account ON public.provider_pauses USING btree (provider, COALESCE(workspace_id, '00000000-0000-0000-0000-000000000000'::uuid));
CREATE INDEX provider_pauses_workspace ON public.provider_pauses USING btree (workspace_id) WHERE (workspace_id IS NOT NULL);
CREATE INDEX pull_requests_number ON public.pull_requests USING btree (forge, lower(repository), number);
CREATE INDEX pull_requests_open ON public.pull_requests USING btree (checked_at NULLS FIRST) WHERE (state = 'open'::text);
CREATE INDEX refused_models_at ON public.refused_models USING btree (refused_at);
CREATE UNIQUE INDEX roles_name ON public.roles USING btree (lower(name));
CREATE INDEX session_events_turn ON public.session_events USING btree (turn_id, at);
CREATE INDEX session_moves_worker ON public.session_moves USING btree (worker);
CREATE INDEX session_reports_session ON public.session_reports USING btree (session_id, id DESC);
CREATE INDEX session_reports_ticket ON public.session_reports USING btree (ticket_id, id DESC) WHERE (ticket_id IS NOT NULL);
CREATE INDEX session_tokens_session ON public.session_tokens USING btree (session_id);
CREATE INDEX session_tokens_turn ON public.session_tokens USING btree (turn_id);
CREATE INDEX sessions_automation ON public.sessions USING btree (automation_id, id DESC) WHERE (automation_id IS NOT NULL);
CREATE INDEX sessions_bot ON public.sessions USING btree (bot_id) WHERE (bot_id IS NOT NULL);
CREATE INDEX sessions_branch ON public.sessions USING btree (workspace_id, branch) WHERE (branch <> ''::text);
CREATE INDEX sessions_gates ON public.sessions USING btree (queued_at, id) WHERE ((status = 'queued'::text) AND at_gate);
CREATE INDEX sessions_idle ON public.sessions USING btree (workspace_id, GREATEST(ended_at, reopened_at, created_at)) WHERE (status = 'waiting'::text);
CREATE INDEX sessions_leases ON public.sessions USING btree (lease_until) WHERE (status = 'in_progress'::text);
CREATE INDEX sessions_owner ON public.sessions USING btree (owner_id, id DESC);
CREATE INDEX sessions_pr_requested ON public.sessions USING btree (worker, pr_requested_at) WHERE (pr_requested_at IS NOT NULL);
CREATE INDEX sessions_queue ON public.sessions USING btree (queued_at, id) WHERE (status = 'queued'::text);
CREATE INDEX sessions_workspace ON public.sessions USING btree (workspace_id, id DESC);
CREATE INDEX sessions_worktrees ON public.sessions USING btree (closed_at) WHERE ((closed_at IS NOT NULL) AND (worktree_removed_at IS NULL));
CREATE INDEX sign_in_failures_key ON public.sign_in_failures USING btree (key, at);
CREATE INDEX signed_bodies_at ON public.signed_bodies USING btree (at);
CREATE UNIQUE INDEX signed_bodies_automation ON public.signed_bodies USING btree (automation_id, signature) WHERE (automation_id IS NOT NULL);
CREATE UNIQUE INDEX signed_bodies_workspace ON public.signed_bodies USING btree (workspace_id, signature) WHERE (workspace_id IS NOT NULL);
CREATE INDEX ticket_sessions_session ON public.ticket_sessions USING btree (session_id);
CREATE INDEX tickets_assignee ON public.tickets USING btree (assignee_id, id DESC) WHERE (assignee_id IS NOT NULL);
CREATE UNIQUE INDEX tickets_claimed ON public.tickets USING btree (claimed_by) WHERE (claimed_by IS NOT NULL);
CREATE INDEX tickets_created_session ON public.tickets USING btree (created_session) WHERE (created_session IS NOT NULL);
CREATE INDEX tickets_list ON public.tickets USING btree (workspace_id, id DESC);
CREATE INDEX tickets_queue ON public.tickets USING btree (workspace_id, priority, number) WHERE (status = 'open'::text);
CREATE INDEX trigger_tokens_automation ON public.trigger_tokens USING btree (automation_id);
CREATE UNIQUE INDEX trigger_tokens_current ON public.trigger_tokens USING btree (automation_id) WHERE (expires_at IS NULL);
CREATE INDEX turns_execution ON public.turns USING btree (execution_id) WHERE (execution_id IS NOT NULL);
CREATE INDEX turns_finished ON public.turns USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE INDEX user_roles_role ON public.user_roles USING btree (role_id);
CREATE INDEX users_by_name ON public.users USING btree (lower(name), id);
CREATE UNIQUE INDEX users_email ON public.users USING btree (lower(email));
CREATE INDEX webhook_deliveries_automation ON public.webhook_deliveries USING btree (automation_id, id DESC);
CREATE INDEX webhook_deliveries_execution ON public.webhook_deliveries USING btree (execution_id) WHERE (execution_id IS NOT NULL);
CREATE UNIQUE INDEX webhook_deliveries_folded ON public.webhook_deliveries USING btree (automation_id, blocked_by) WHERE ((verdict = 'busy'::text) AND (head IS NULL));
CREATE INDEX webhook_deliveries_head ON public.webhook_deliveries USING btree (head, id DESC) WHERE (head IS NOT NULL);
CREATE INDEX webhook_deliveries_last_at ON public.webhook_deliveries USING btree (last_at);
CREATE INDEX webhook_deliveries_shown ON public.webhook_deliveries USING btree (automation_id, id DESC) WHERE (head IS NULL);
CREATE INDEX webhook_keys_at ON public.webhook_keys USING btree (at);
CREATE INDEX workspace_members_user ON public.workspace_members USING btree (user_id);
CREATE UNIQUE INDEX workspaces_name ON public.workspaces USING btree (lower(name)) WHERE (removed_at IS NULL);
CREATE INDEX workspaces_unconfined ON public.workspaces USING btree (lower(name), id) WHERE ((NOT sandbox) AND (removed_at IS NULL));
CREATE TRIGGER audit_events_stay BEFORE DELETE OR UPDATE ON public.audit_events FOR EACH ROW EXECUTE FUNCTION public.audit_events_stay();
ALTER TABLE public.audit_events ENABLE ALWAYS TRIGGER audit_events_stay;
CREATE TRIGGER audit_events_stay_whole BEFORE TRUNCATE ON public.audit_events FOR EACH STATEMENT EXECUTE FUNCTION public.audit_events_stay();
ALTER TABLE public.audit_events ENABLE ALWAYS TRIGGER audit_events_stay_whole;
ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_bot_id_fkey FOREIGN KEY (bot_id) REFERENCES public.bots(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_creator_id_fkey FOREIGN KEY (creator_id) REFERENCES public.users(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_workflow_id_fkey FOREIGN KEY (workflow_id) REFERENCES public.workflows(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.automations
    ADD CONSTRAINT automations_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.bots
    ADD CONSTRAINT bots_changed_by_fkey FOREIGN KEY (changed_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.bots
    ADD CONSTRAINT bots_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.bots
    ADD CONSTRAINT bots_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.execution_attempts
    ADD CONSTRAINT execution_attempts_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES public.executions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.execution_attempts
    ADD CONSTRAINT execution_attempts_turn_id_fkey FOREIGN KEY (turn_id) REFERENCES public.turns(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.executions
    ADD CONSTRAINT executions_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.executions
    ADD CONSTRAINT executions_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.executions
    ADD CONSTRAINT executions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.notice_deliveries
    ADD CONSTRAINT notice_deliveries_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES public.notifications(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.notice_preferences
    ADD CONSTRAINT notice_preferences_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES public.executions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.password_links
    ADD CONSTRAINT password_links_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.password_links
    ADD CONSTRAINT password_links_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.provider_pauses
    ADD CONSTRAINT provider_pauses_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.provider_trials
    ADD CONSTRAINT provider_trials_requested_by_fkey FOREIGN KEY (requested_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.pull_requests
    ADD CONSTRAINT pull_requests_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.refused_calls
    ADD CONSTRAINT refused_calls_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session_events
    ADD CONSTRAINT session_events_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session_moves
    ADD CONSTRAINT session_moves_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session_reports
    ADD CONSTRAINT session_reports_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session_reports
    ADD CONSTRAINT session_reports_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.session_tokens
    ADD CONSTRAINT session_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.session_tokens
    ADD CONSTRAINT session_tokens_turn_id_fkey FOREIGN KEY (turn_id) REFERENCES public.turns(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_bot_id_fkey FOREIGN KEY (bot_id) REFERENCES public.bots(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_cancel_requested_by_fkey FOREIGN KEY (cancel_requested_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_closed_by_fkey FOREIGN KEY (closed_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_interrupt_requested_by_fkey FOREIGN KEY (interrupt_requested_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES public.users(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pr_requested_by_fkey FOREIGN KEY (pr_requested_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.signed_bodies
    ADD CONSTRAINT signed_bodies_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.signed_bodies
    ADD CONSTRAINT signed_bodies_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ticket_numbers
    ADD CONSTRAINT ticket_numbers_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ticket_sessions
    ADD CONSTRAINT ticket_sessions_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ticket_sessions
    ADD CONSTRAINT ticket_sessions_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_claimed_by_fkey FOREIGN KEY (claimed_by) REFERENCES public.sessions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_created_session_fkey FOREIGN KEY (created_session) REFERENCES public.sessions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.transfer_offers
    ADD CONSTRAINT transfer_offers_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.transfer_offers
    ADD CONSTRAINT transfer_offers_from_id_fkey FOREIGN KEY (from_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.transfer_offers
    ADD CONSTRAINT transfer_offers_to_id_fkey FOREIGN KEY (to_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.trigger_tokens
    ADD CONSTRAINT trigger_tokens_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.trigger_tokens
    ADD CONSTRAINT trigger_tokens_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_author_id_fkey FOREIGN KEY (author_id) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES public.executions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_identities
    ADD CONSTRAINT user_identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_role_id_fkey FOREIGN KEY (role_id) REFERENCES public.roles(id) ON DELETE RESTRICT;
ALTER TABLE ONLY public.user_roles
    ADD CONSTRAINT user_roles_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES public.executions(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_head_fkey FOREIGN KEY (head) REFERENCES public.webhook_deliveries(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.webhook_keys
    ADD CONSTRAINT webhook_keys_automation_id_fkey FOREIGN KEY (automation_id) REFERENCES public.automations(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.workflows
    ADD CONSTRAINT workflows_changed_by_fkey FOREIGN KEY (changed_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.workflows
    ADD CONSTRAINT workflows_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.workflows
    ADD CONSTRAINT workflows_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.workspace_members
    ADD CONSTRAINT workspace_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.workspace_members
    ADD CONSTRAINT workspace_members_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.workspace_variables
    ADD CONSTRAINT workspace_variables_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT workspaces_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
