-- Rows in every table, for the dump of an installation. See dump.sh.

INSERT INTO users (id, email, name, password_hash, time_zone, theme, created_at, updated_at, email_changed_at) VALUES
  ('00000000-0000-7000-8000-000000000001', 'ada@example.com', 'Ada', 'hash', 'Europe/Berlin', 'dark',
    '2026-11-01 08:00+00', '2026-11-02 08:00+00', '2026-11-02 08:00+00'),
  ('00000000-0000-7000-8000-000000000002', 'ben@example.com', 'Ben', '', 'UTC', '',
    '2026-11-01 08:00+00', '2026-11-01 08:00+00', NULL);
INSERT INTO roles (id, name, key, permissions, created_at) VALUES
  ('00000000-0000-7000-8000-000000000011', 'Reader', NULL, '{tickets.manage}', '2026-11-01 08:00+00');
INSERT INTO user_roles (user_id, role_id) VALUES
  ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000011');
INSERT INTO logins (id, user_id, created_at, seen_at, expires_at, address, user_agent) VALUES
  ('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001',
    '2026-11-01 08:00+00', '2026-11-02 08:00+00', '2026-12-01 08:00+00', '192.0.2.1', 'Browser');
INSERT INTO sign_in_failures (key, at) VALUES ('\x0102', '2026-11-01 08:00+00');
INSERT INTO password_links (user_id, hash, invites, created_by, created_at, expires_at, mailed) VALUES
  ('00000000-0000-7000-8000-000000000002', sha256('link'), true, '00000000-0000-7000-8000-000000000001',
    '2026-11-01 08:00+00', '2026-11-08 08:00+00', true);
INSERT INTO user_identities (issuer, subject, user_id, email, created_at, used_at) VALUES
  ('https://id.example.com', 'ada', '00000000-0000-7000-8000-000000000001', 'ada@example.com',
    '2026-11-01 08:00+00', '2026-11-02 08:00+00');
INSERT INTO api_tokens (id, user_id, name, hash, narrowed, permissions, created_at, expires_at, used_at, used_from)
VALUES
  ('00000000-0000-7000-8000-000000000031', '00000000-0000-7000-8000-000000000001', 'build', sha256('api'), true,
    '{tickets.manage}', '2026-11-01 08:00+00', '2027-11-01 08:00+00', '2026-11-02 08:00+00', '192.0.2.1');
INSERT INTO settings (key, value, updated_at) VALUES
  ('providers', '{"disabled": ["other"]}', '2026-11-01 08:00+00'),
  ('toggle.tests', '"Run the tests."', '2026-11-01 08:00+00');
INSERT INTO audit_events (id, at, actor_id, action, subject_kind, subject_id, subject_name, workspace_id, reason,
    before, after, address, token) VALUES
  ('00000000-0000-7000-8000-000000000041', '2026-11-01 08:00+00', '00000000-0000-7000-8000-000000000001',
    'automation.update', 'automation', '00000000-0000-7000-8000-000000000081', 'Nightly',
    '00000000-0000-7000-8000-000000000051', 'why', '{"name": "Daily"}', '{"name": "Nightly"}', '192.0.2.1', 'build');

INSERT INTO workspaces (id, name, git_url, default_branch, token_sealed, provider, model, created_by, created_at,
    updated_at, version, forge, forge_base, forge_secret_sealed, sandbox, sandbox_offline, idle_days, remote_anywhere,
    sandbox_shows) VALUES
  ('00000000-0000-7000-8000-000000000051', 'Shop', 'https://git.example.com/shop.git', 'main', '\x01', 'claude', 'opus',
    '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00+00', '2026-11-02 08:00+00', 3, 'gitea',
    'https://git.example.com', '\x02', true, true, 30, true, '~/.npmrc');
INSERT INTO workspace_members (workspace_id, user_id) VALUES
  ('00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000001');
INSERT INTO workspace_variables (workspace_id, name, secret, value, sealed) VALUES
  ('00000000-0000-7000-8000-000000000051', 'STAGE', false, 'test', NULL),
  ('00000000-0000-7000-8000-000000000051', 'API_KEY', true, '', '\x03');
INSERT INTO workflows (id, workspace_id, name, description, steps, parameters, created_by, created_at, updated_at,
    version, changed_by) VALUES
  ('00000000-0000-7000-8000-000000000061', '00000000-0000-7000-8000-000000000051', 'Release', 'Notes and a tag',
    '[{"kind": "message", "text": "Write the notes."}, {"kind": "complete_session"}]',
    '[{"alias": "version", "type": "text", "required": true}]', '00000000-0000-7000-8000-000000000001',
    '2026-11-01 08:00+00', '2026-11-02 08:00+00', 2, '00000000-0000-7000-8000-000000000002');
INSERT INTO bots (id, workspace_id, name, instructions, provider, model, locks_agent, allowed_tools, read_only, enabled,
    created_by, created_at, updated_at, version, changed_by) VALUES
  ('00000000-0000-7000-8000-000000000071', NULL, 'Reviewer', 'Look for mistakes.', 'claude', 'opus', true, '{Read}',
    true, true, '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00+00', '2026-11-02 08:00+00', 2,
    '00000000-0000-7000-8000-000000000001');

INSERT INTO automations (id, workspace_id, creator_id, name, trigger, cron, time_zone, next_run_at, scheduled_since,
    catch_up, session_type, execution_type, prompt, parameters, toggles, auto_complete, only_unchanged, enabled,
    failure_streak, skip_id, version, created_at, updated_at, create_pr, may_automate, retries, gate, success, budget,
    made_by, changed_by) VALUES
  ('00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000051',
    '00000000-0000-7000-8000-000000000001', 'Nightly', 'recurring', '0 2 * * *', 'Europe/Berlin', '2026-12-01 01:00+00',
    '2026-11-01 08:00+00', true, 'develop', 'inline', 'Update {{what}}.', '{"what": "dependencies"}', '{tests}', true,
    true, true, 1, '00000000-0000-7000-8000-0000000000a2', 4, '2026-11-01 08:00+00', '2026-11-02 08:00+00', true, true,
    3, '{"command": "test -f go.mod"}', '{"contains": "done"}', '{"day": {"money": 5}}',
    '{00000000-0000-7000-8000-000000000001}', '{00000000-0000-7000-8000-000000000002}');
INSERT INTO automations (id, workspace_id, creator_id, name, trigger, allow_parallel, max_parallel, session_type,
    execution_type, workflow_id, enabled, created_at, updated_at, sender, signature_header, signature_sealed, filter,
    append_payload) VALUES
  ('00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000051',
    '00000000-0000-7000-8000-000000000001', 'On push', 'http', true, 4, 'develop', 'workflow',
    '00000000-0000-7000-8000-000000000061', true, '2026-11-01 08:00+00', '2026-11-01 08:00+00', 'hmac', 'X-Signature',
    '\x04', '{"conditions": [{"field": "ref", "operator": "equals", "value": "main"}]}', true);
INSERT INTO trigger_tokens (hash, automation_id, created_by, created_at, expires_at) VALUES
  (sha256('old'), '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001',
    '2026-11-01 08:00+00', '2026-11-02 08:00+00'),
  (sha256('new'), '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001',
    '2026-11-02 08:00+00', NULL);
INSERT INTO transfer_offers (automation_id, to_id, from_id, created_at) VALUES
  ('00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000002',
    '00000000-0000-7000-8000-000000000001', '2026-11-02 08:00+00');

INSERT INTO sessions (id, workspace_id, automation_id, owner_id, bot_id, type, title, status, provider, model,
    base_branch, branch, base_commit, conversation, files_changed, lines_added, lines_removed, diff, last_seq,
    created_at, started_at, ended_at, worker, fence, pr_checked_at, pr_changed_at, changes_at, reopened_at,
    at_work_since, resumes, commits, stashes, ignored_files, made_branches, not_saved, outages, people) VALUES
  ('00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-000000000051',
    '00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-000000000001', NULL, 'develop', 'Nightly',
    'waiting', 'claude', 'opus', 'main', 'carillon/91', 'abc123', 'conversation', 1, 2, 3, '+ a line', 2,
    '2026-11-02 01:00+00', '2026-11-02 01:01+00', '2026-11-02 01:05+00', 'worker-1', 2, '2026-11-02 01:06+00',
    '2026-11-02 01:07+00', '2026-11-02 01:05+00', '2026-11-02 09:00+00', '2026-11-02 01:01+00', 1, 1, 1, 4, 'other',
    'One file was lost.', 1, '{00000000-0000-7000-8000-000000000001}');
INSERT INTO sessions (id, workspace_id, automation_id, owner_id, bot_id, type, title, status, provider, created_at,
    queued_at, at_gate) VALUES
  ('00000000-0000-7000-8000-000000000092', '00000000-0000-7000-8000-000000000051',
    '00000000-0000-7000-8000-000000000082', '00000000-0000-7000-8000-000000000001',
    '00000000-0000-7000-8000-000000000071', 'bot', 'On push', 'queued', 'claude', '2026-11-02 02:00+00',
    '2026-11-02 02:00+00', true);
INSERT INTO session_moves (session_id, worker, name, seen_at, fence, at) VALUES
  ('00000000-0000-7000-8000-000000000091', 'worker-0', 'host-0', '2026-11-01 01:00+00', 1, '2026-11-02 01:00+00');
INSERT INTO executions (id, automation_id, session_id, source, mark, user_id, token_fingerprint, status, parallel,
    neutral, reason, error_class, exit_code, blocked_by, scheduled_for, skip_count, last_skipped_for, answer,
    parameters, unresolved, snapshot, created_at, started_at, finished_at, turns, counted, priced, tokens_in,
    tokens_cached, tokens_out, cost_usd, result, worked_seconds) VALUES
  ('00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-000000000081',
    '00000000-0000-7000-8000-000000000091', 'schedule', 'catch_up', NULL, '', 'succeeded', false, false, '', '', 0,
    NULL, '2026-11-02 01:00+00', 0, NULL, 'done', '{"what": "dependencies"}', '{}', '{"name": "Nightly"}',
    '2026-11-02 01:00+00', '2026-11-02 01:01+00', '2026-11-02 01:05+00', 1, 1, 1, 100, 20, 30, 0.25, 'nothing_to_do',
    12.5),
  ('00000000-0000-7000-8000-0000000000a2', '00000000-0000-7000-8000-000000000081', NULL, 'schedule', '', NULL, '',
    'skipped', false, false, 'a run was in flight', '', NULL, '00000000-0000-7000-8000-0000000000a1',
    '2026-11-03 01:00+00', 2, '2026-11-04 01:00+00', '', '{}', NULL, '{}', '2026-11-03 01:00+00', NULL,
    '2026-11-03 01:00+00', 0, 0, 0, 0, 0, 0, 0, '', 0),
  ('00000000-0000-7000-8000-0000000000a3', '00000000-0000-7000-8000-000000000082',
    '00000000-0000-7000-8000-000000000092', 'webhook', 'replay', NULL, '01234567', 'queued', true, false, '', '', NULL,
    NULL, NULL, 0, NULL, '', '{"version": "1"}', NULL, '{"name": "On push"}', '2026-11-02 02:00+00', NULL, NULL, 0, 0,
    0, 0, 0, 0, 0, '', 0);
INSERT INTO turns (id, session_id, execution_id, position, kind, label, author_id, prompt, status, reason, answer,
    created_at, started_at, finished_at, conversation, counted, priced, tokens_in, tokens_cached, tokens_out, cost_usd,
    own, ended_seq) VALUES
  ('00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-000000000091',
    '00000000-0000-7000-8000-0000000000a1', 1, 'prompt', '', NULL, 'Update dependencies.', 'succeeded', '', 'done',
    '2026-11-02 01:00+00', '2026-11-02 01:01+00', '2026-11-02 01:05+00', 'conversation', true, true, 100, 20, 30, 0.25,
    false, 2),
  ('00000000-0000-7000-8000-0000000000b2', '00000000-0000-7000-8000-000000000092',
    '00000000-0000-7000-8000-0000000000a3', 1, 'step', 'Notes', '00000000-0000-7000-8000-000000000001',
    'Write the notes.', 'queued', '', '', '2026-11-02 02:00+00', NULL, NULL, '', false, false, 0, 0, 0, 0, true, NULL);
INSERT INTO execution_attempts (execution_id, attempt, turn_id, failed_at, retry_at, error_class, reason) VALUES
  ('00000000-0000-7000-8000-0000000000a1', 1, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:02+00',
    '2026-11-02 01:03+00', 'transient', 'The network was away.');
INSERT INTO session_events (session_id, seq, turn_id, at, kind, body) VALUES
  ('00000000-0000-7000-8000-000000000091', 1, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:02+00', 'text',
    '{"text": "I look."}'),
  ('00000000-0000-7000-8000-000000000091', 2, '00000000-0000-7000-8000-0000000000b1', '2026-11-02 01:05+00',
    'turn_end', '{"usage": {"input": 100}}');
INSERT INTO session_tokens (hash, session_id, turn_id, fence, created_at) VALUES
  (sha256('session'), '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-0000000000b1', 2,
    '2026-11-02 01:01+00');
INSERT INTO refused_calls (session_id, tool, reason, times, at) VALUES
  ('00000000-0000-7000-8000-000000000091', 'create_ticket', 'may not', 2, '2026-11-02 01:02+00');
INSERT INTO pull_requests (id, session_id, forge, repository, number, url, key, title, branch, state, found_by,
    created_at, updated_at, remote_at, checked_at, problem) VALUES
  ('00000000-0000-7000-8000-0000000000c1', '00000000-0000-7000-8000-000000000091', 'gitea', 'team/shop', 7,
    'https://git.example.com/team/shop/pulls/7', 'git.example.com/team/shop/7', 'Update', 'carillon/91', 'open',
    'created', '2026-11-02 01:06+00', '2026-11-02 01:06+00', '2026-11-02 01:06+00', '2026-11-02 01:06+00', '');

INSERT INTO ticket_numbers (workspace_id, last) VALUES ('00000000-0000-7000-8000-000000000051', 1);
INSERT INTO tickets (id, workspace_id, number, title, body, priority, status, assignee_id, labels, created_by,
    created_session, claimed_by, version, created_at, updated_at) VALUES
  ('00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-000000000051', 1, 'A mistake', 'It fails.', 2,
    'in_progress', '00000000-0000-7000-8000-000000000001', '{bug}', '00000000-0000-7000-8000-000000000001',
    '00000000-0000-7000-8000-000000000091', '00000000-0000-7000-8000-000000000091', 2, '2026-11-02 01:02+00',
    '2026-11-02 01:03+00');
INSERT INTO ticket_sessions (ticket_id, session_id, created_at) VALUES
  ('00000000-0000-7000-8000-0000000000d1', '00000000-0000-7000-8000-000000000091', '2026-11-02 01:03+00');
INSERT INTO session_reports (id, session_id, ticket_id, outcome, summary, created_at) VALUES
  ('00000000-0000-7000-8000-0000000000e1', '00000000-0000-7000-8000-000000000091',
    '00000000-0000-7000-8000-0000000000d1', 'blocked', 'A key is missing.', '2026-11-02 01:04+00');

INSERT INTO provider_trials (provider, requested_by, requested_at, worker, started_at, finished_at, answer, usage)
VALUES
  ('claude', '00000000-0000-7000-8000-000000000001', '2026-11-01 08:00+00', 'worker-1', '2026-11-01 08:01+00',
    '2026-11-01 08:02+00', 'ok', '{"input": 1}');
INSERT INTO provider_pauses (provider, since, until, failed_at, failures, error_class, reason, workspace_id, keys)
VALUES
  ('claude', '2026-11-02 01:00+00', '2026-11-02 02:00+00', '2026-11-02 01:30+00', 2, 'rate_limit', 'used up', NULL,
    '{}'),
  ('claude', '2026-11-02 01:00+00', '2026-11-02 02:00+00', '2026-11-02 01:30+00', 1, 'auth', 'not signed in',
    '00000000-0000-7000-8000-000000000051', '{ANTHROPIC_%}');
INSERT INTO refused_models (provider, model, refused_at, reason) VALUES
  ('claude', 'opus', '2026-11-02 01:00+00', 'not in the plan');
INSERT INTO workers (id, name, seen_at, providers, places, machine) VALUES
  ('worker-1', 'host-1', '2026-11-02 01:00+00', '{"claude": {"version": "1"}}', 4, '{"roles": ["worker"]}');
INSERT INTO servers (id, name, seen_at, machine) VALUES
  ('server-1', 'host-2', '2026-11-02 01:00+00', '{"roles": ["web"]}');
INSERT INTO set_aside (task, key, about, since, times, until, error) VALUES
  ('start', '00000000-0000-7000-8000-000000000081', 'Nightly', '2026-11-02 01:00+00', 2, '2026-11-02 01:01+00',
    'no disk');

INSERT INTO webhook_deliveries (id, automation_id, at, method, address, fingerprint, headers, query, size, body,
    verdict, status, answer, execution_id, blocked_by, folded, last_at, sealed, head) VALUES
  ('00000000-0000-7000-8000-0000000000f1', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:00+00', 'POST',
    '192.0.2.2', '01234567', '{"Content-Type": "application/json"}', 'a=b', 2, '{}', 'started', 202,
    '{"success": true}', '00000000-0000-7000-8000-0000000000a3', NULL, 1, '2026-11-02 02:00+00', '\x05', NULL),
  ('00000000-0000-7000-8000-0000000000f2', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:01+00', 'POST',
    '192.0.2.2', '01234567', '{}', '', 2, '{}', 'busy', 409, '{"success": false}', NULL,
    '00000000-0000-7000-8000-0000000000a3', 2, '2026-11-02 02:02+00', NULL, NULL),
  ('00000000-0000-7000-8000-0000000000f3', '00000000-0000-7000-8000-000000000082', '2026-11-02 02:02+00', 'POST',
    '192.0.2.2', '01234567', '{}', '', 2, '{}', 'busy', 409, '{"success": false}', NULL,
    '00000000-0000-7000-8000-0000000000a3', 1, '2026-11-02 02:02+00', NULL, '00000000-0000-7000-8000-0000000000f2');
INSERT INTO webhook_keys (automation_id, key, at, status, answer) VALUES
  ('00000000-0000-7000-8000-000000000082', 'delivery-1', '2026-11-02 02:00+00', 202, '{"success": true}');
INSERT INTO signed_bodies (automation_id, workspace_id, signature, at, answer) VALUES
  ('00000000-0000-7000-8000-000000000082', NULL, '\x06', '2026-11-02 02:00+00', '{"success": true}'),
  (NULL, '00000000-0000-7000-8000-000000000051', '\x07', '2026-11-02 02:00+00', '{}');

INSERT INTO notifications (id, user_id, kind, title, body, automation_id, execution_id, session_id, link, dedup_key,
    created_at, read_at, starred_at, workspace_id) VALUES
  ('00000000-0000-7000-8000-000000000101', '00000000-0000-7000-8000-000000000001', 'failed', 'Nightly failed',
    'It did.',
    '00000000-0000-7000-8000-000000000081', '00000000-0000-7000-8000-0000000000a1',
    '00000000-0000-7000-8000-000000000091', 'https://git.example.com', 'failed a1', '2026-11-02 01:05+00',
    '2026-11-02 08:00+00', '2026-11-02 08:00+00', '00000000-0000-7000-8000-000000000051');
INSERT INTO notice_preferences (user_id, email, webhook_url, webhook_secret, muted, updated_at) VALUES
  ('00000000-0000-7000-8000-000000000001', true, 'https://hooks.example.com', '\x08', '{missed}',
    '2026-11-01 08:00+00');
INSERT INTO notice_deliveries (id, notification_id, channel, status, attempts, next_attempt_at, last_error, created_at)
VALUES
  ('00000000-0000-7000-8000-000000000111', '00000000-0000-7000-8000-000000000101', 'email', 'queued', 1,
    '2026-11-02 01:10+00', 'no route', '2026-11-02 01:05+00');
