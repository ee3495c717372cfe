package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ProviderSettings is what an administrator has changed of the providers that Carillon knows.
type ProviderSettings struct {
	Disabled []string            `json:"disabled,omitempty"` // ids of those that nothing may use
	Models   map[string][]string `json:"models,omitempty"`   // suggested, of those that cannot list their own
	Own      []OwnProvider       `json:"own,omitempty"`      // agents added by configuration
}

// OwnProvider is an agent that speaks the Agent Client Protocol, added by an administrator.
type OwnProvider struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Command  []string `json:"command"`
	Keys     []string `json:"keys,omitempty"`      // variables of the server that it gets
	State    []string `json:"state,omitempty"`     // its own files below the home folder, which a sandbox lets it write
	Obeys    []string `json:"obeys,omitempty"`     // files and folders of a repository that steer it, which a sandbox hides
	AutoMode string   `json:"auto_mode,omitempty"` // the session mode that asks no questions
	ReadMode string   `json:"read_mode,omitempty"` // the session mode that changes nothing
}

// providersKey is the row of the table settings.
const providersKey = "providers"

// Providers reads the settings of the providers; none are the zero value.
func Providers(ctx context.Context, q bun.IDB) (ProviderSettings, error) {
	return readProviders(ctx, q, "")
}

// LockProviders is Providers for changing them: no one else may until the transaction ends.
func LockProviders(ctx context.Context, tx bun.Tx) (ProviderSettings, error) {
	// The row has to exist to be locked.
	if _, err := tx.NewRaw("INSERT INTO settings (key, value, updated_at) VALUES (?, '{}', now()) ON CONFLICT DO NOTHING", providersKey).Exec(ctx); err != nil {
		return ProviderSettings{}, fmt.Errorf("lock providers: %w", err)
	}
	return readProviders(ctx, tx, " FOR UPDATE")
}

func readProviders(ctx context.Context, q bun.IDB, lock string) (ProviderSettings, error) {
	var raw string
	err := q.NewRaw("SELECT value::text FROM settings WHERE key = ?"+lock, providersKey).Scan(ctx, &raw)
	if IsNotFound(err) {
		return ProviderSettings{}, nil
	}
	var p ProviderSettings
	if err == nil {
		err = json.Unmarshal([]byte(raw), &p)
	}
	if err != nil {
		return p, fmt.Errorf("read providers: %w", err)
	}
	return p, nil
}

// SaveProviders writes the settings of the providers.
func SaveProviders(ctx context.Context, q bun.IDB, p ProviderSettings, now time.Time) error {
	raw, err := json.Marshal(p)
	if err == nil {
		_, err = q.NewRaw("INSERT INTO settings (key, value, updated_at) VALUES (?, ?::jsonb, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
			providersKey, string(raw), now).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("save providers: %w", err)
	}
	return nil
}

// ProviderTrial is one real turn with which a person tries a provider.
type ProviderTrial struct {
	bun.BaseModel `bun:"table:provider_trials,alias:pt"`

	Provider    string          `bun:"provider,pk"`
	RequestedBy uuid.UUID       `bun:"requested_by,nullzero,type:uuid"`
	RequestedAt time.Time       `bun:"requested_at"`
	Worker      string          `bun:"worker"`
	StartedAt   time.Time       `bun:"started_at,nullzero"`
	FinishedAt  time.Time       `bun:"finished_at,nullzero"`
	ErrorClass  string          `bun:"error_class"`
	Reason      string          `bun:"reason"`
	Answer      string          `bun:"answer"`
	Usage       json.RawMessage `bun:"usage,type:jsonb,nullzero"`
}

// ProviderTrials lists the newest trial of each provider that was tried.
func ProviderTrials(ctx context.Context, q bun.IDB) ([]ProviderTrial, error) {
	var list []ProviderTrial
	if err := q.NewSelect().Model(&list).Order("provider").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list trials of providers: %w", err)
	}
	return list, nil
}

// RequestTrial asks a worker to try a provider. One that was asked for or begun after stale stays. It reports whether it
// wrote the request.
func RequestTrial(ctx context.Context, q bun.IDB, provider string, by uuid.UUID, now, stale time.Time) (bool, error) {
	res, err := q.NewRaw(`INSERT INTO provider_trials (provider, requested_by, requested_at) VALUES (?0, ?1, ?2)
		ON CONFLICT (provider) DO UPDATE SET requested_by = excluded.requested_by, requested_at = excluded.requested_at,
			worker = '', started_at = NULL, finished_at = NULL, error_class = '', reason = '', answer = '', usage = NULL
		WHERE provider_trials.finished_at IS NOT NULL OR coalesce(provider_trials.started_at, provider_trials.requested_at) < ?3`,
		provider, orNull(by), now, stale).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("request trial of %s: %w", provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ClaimTrial takes a requested trial for a worker; nil where there is none. As of sessions, it leaves to others what they have
// and it has not.
func ClaimTrial(ctx context.Context, q bun.IDB, worker string, now time.Time) (*ProviderTrial, error) {
	var t ProviderTrial
	err := q.NewRaw(`UPDATE provider_trials SET worker = ?0, started_at = ?1 WHERE provider = (
			SELECT provider FROM provider_trials WHERE started_at IS NULL AND provider <> ALL(ARRAY(`+elsewhere("?0", "?2")+`))
			ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED
		) RETURNING *`, worker, now, now.Add(-WorkerSilence)).Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim trial: %w", err)
	}
	return &t, nil
}

// FinishTrial writes how a trial ended, unless another was asked for since.
func FinishTrial(ctx context.Context, q bun.IDB, t *ProviderTrial) error {
	_, err := q.NewUpdate().Model(t).Column("finished_at", "error_class", "reason", "answer", "usage").WherePK().
		Where("pt.worker = ?", t.Worker).Where("pt.started_at = ?", t.StartedAt).Exec(ctx)
	if err != nil {
		return fmt.Errorf("finish trial of %s: %w", t.Provider, err)
	}
	return nil
}

// AbandonTrials ends what a former life of a worker was trying.
func AbandonTrials(ctx context.Context, q bun.IDB, worker, reason string, now time.Time) error {
	_, err := q.NewUpdate().Model((*ProviderTrial)(nil)).Set("finished_at = ?", now).Set("error_class = 'interrupted'").Set("reason = ?", reason).
		Where("pt.worker = ?", worker).Where("pt.started_at IS NOT NULL AND pt.finished_at IS NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("abandon trials: %w", err)
	}
	return nil
}

// ForgetTrial removes what is known of a provider's trials.
func ForgetTrial(ctx context.Context, q bun.IDB, provider string) error {
	if _, err := q.NewDelete().Model((*ProviderTrial)(nil)).Where("pt.provider = ?", provider).Exec(ctx); err != nil {
		return fmt.Errorf("forget trial of %s: %w", provider, err)
	}
	return nil
}

// ProviderPause keeps the sessions of a provider's account from starting until a time, and after it lets one at a time try, until
// one succeeds. The account is the server's, or a workspace's own: of one whose variables match Keys.
type ProviderPause struct {
	bun.BaseModel `bun:"table:provider_pauses,alias:pp"`

	Provider    string    `bun:"provider"`
	WorkspaceID uuid.UUID `bun:"workspace_id,nullzero,type:uuid"` // zero: the server's account
	Keys        []string  `bun:"keys,array"`                      // patterns of LIKE: variables that sign the provider in
	Workspace   string    `bun:"workspace,scanonly"`              // its name; empty for the server's account

	Since      time.Time `bun:"since"`
	Until      time.Time `bun:"until"`
	FailedAt   time.Time `bun:"failed_at"`
	Failures   int       `bun:"failures"`
	ErrorClass string    `bun:"error_class"`
	Reason     string    `bun:"reason"`
}

// ProviderPauses lists the providers in trouble.
func ProviderPauses(ctx context.Context, q bun.IDB) ([]ProviderPause, error) {
	var list []ProviderPause
	err := q.NewSelect().Model(&list).ColumnExpr("pp.*").ColumnExpr("coalesce(w.name, '') AS workspace").
		Join("LEFT JOIN workspaces AS w ON w.id = pp.workspace_id").OrderExpr("pp.provider, pp.workspace_id NULLS FIRST").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list paused providers: %w", err)
	}
	return list, nil
}

// account selects the workspace whose own account the session s uses with the provider of the pause p; null for the server's.
const account = `(SELECT v.workspace_id FROM workspace_variables v WHERE v.workspace_id = s.workspace_id AND v.name LIKE ANY(p.keys) LIMIT 1)`

// paused is true where the pause p keeps the session s from starting.
const paused = `p.provider = s.provider AND p.workspace_id IS NOT DISTINCT FROM ` + account

// PausesOf finds what keeps queued sessions from starting, by session.
func PausesOf(ctx context.Context, q bun.IDB, sessions []uuid.UUID) (map[uuid.UUID]ProviderPause, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	var rows []struct {
		Session uuid.UUID `bun:"session,type:uuid"`
		ProviderPause
	}
	err := q.NewRaw("SELECT s.id AS session, p.* FROM sessions s JOIN provider_pauses p ON "+paused+" WHERE s.id = ANY(?::uuid[]) AND s.status = 'queued' AND NOT s.at_gate",
		UUIDs(sessions)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("find what sessions wait for: %w", err)
	}
	pauses := make(map[uuid.UUID]ProviderPause, len(rows))
	for _, r := range rows {
		pauses[r.Session] = r.ProviderPause
	}
	return pauses, nil
}

// LockPause finds the pause of a provider's account, for changing it; nil where there is none. The account is a workspace's own,
// or the server's where the id is zero.
func LockPause(ctx context.Context, tx bun.Tx, provider string, workspace uuid.UUID) (*ProviderPause, error) {
	var p ProviderPause
	err := tx.NewSelect().Model(&p).Where("pp.provider = ?", provider).Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(workspace)).For("UPDATE").Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find pause of %s: %w", provider, err)
	}
	return &p, nil
}

// InsertPause begins a pause. It reports whether there was none yet.
func InsertPause(ctx context.Context, q bun.IDB, p *ProviderPause) (bool, error) {
	if p.Keys == nil {
		p.Keys = []string{} // a row holds no null
	}
	res, err := q.NewInsert().Model(p).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("pause %s: %w", p.Provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// SavePause writes what changes of a pause.
func SavePause(ctx context.Context, q bun.IDB, p *ProviderPause) error {
	_, err := q.NewUpdate().Model(p).Column("until", "failed_at", "failures", "error_class", "reason").
		Where("pp.provider = ?", p.Provider).Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(p.WorkspaceID)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("pause %s: %w", p.Provider, err)
	}
	return nil
}

// EndPause lets the sessions of a provider's account start again. It reports whether they were kept.
func EndPause(ctx context.Context, q bun.IDB, provider string, workspace uuid.UUID) (bool, error) {
	return endPauses(ctx, q.NewDelete().Where("pp.workspace_id IS NOT DISTINCT FROM ?", orNull(workspace)), provider)
}

// EndPauses is EndPause for every account of a provider.
func EndPauses(ctx context.Context, q bun.IDB, provider string) (bool, error) {
	return endPauses(ctx, q.NewDelete(), provider)
}

func endPauses(ctx context.Context, del *bun.DeleteQuery, provider string) (bool, error) {
	res, err := del.Model((*ProviderPause)(nil)).Where("pp.provider = ?", provider).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("end pause of %s: %w", provider, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Attempt is a try of a run that failed, and after which it was tried again.
type Attempt struct {
	bun.BaseModel `bun:"table:execution_attempts,alias:ea"`

	ExecutionID uuid.UUID `bun:"execution_id,pk,type:uuid"`
	Attempt     int       `bun:"attempt,pk"`
	TurnID      uuid.UUID `bun:"turn_id,nullzero,type:uuid"`
	FailedAt    time.Time `bun:"failed_at"`
	RetryAt     time.Time `bun:"retry_at"`
	ErrorClass  string    `bun:"error_class"`
	Reason      string    `bun:"reason"`
}

// AttemptsOf lists the failed attempts of an execution after which it was tried again, in order.
func AttemptsOf(ctx context.Context, q bun.IDB, execution uuid.UUID) ([]Attempt, error) {
	var list []Attempt
	if err := q.NewSelect().Model(&list).Where("ea.execution_id = ?", execution).Order("ea.attempt").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list attempts of execution %s: %w", execution, err)
	}
	return list, nil
}

// AddAttempt writes a failed attempt.
func AddAttempt(ctx context.Context, q bun.IDB, a *Attempt) error {
	if _, err := q.NewInsert().Model(a).Exec(ctx); err != nil {
		return fmt.Errorf("write attempt: %w", err)
	}
	return nil
}

// QueueAgain puts a session with the turn that failed back into the queue, for a time to come.
func QueueAgain(ctx context.Context, q bun.IDB, session, turn uuid.UUID, at time.Time) error {
	_, err := q.NewUpdate().Model((*Turn)(nil)).Set("status = 'queued'").Where("t.id = ?", turn).Exec(ctx)
	if err == nil {
		_, err = q.NewUpdate().Model((*Session)(nil)).Set("status = 'queued'").Set("queued_at = ?", at).Set("lease_until = NULL").Where("s.id = ?", session).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("queue session %s again: %w", session, err)
	}
	return nil
}

// NoteOutage counts that a person's message in a session could not be given to the agent.
func NoteOutage(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("outages = outages + 1").Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "note an outage of session "+session.String())
}

// WaitingForProviders counts the queued sessions of each provider that is paused.
func WaitingForProviders(ctx context.Context, q bun.IDB) (map[string]int, error) {
	var rows []struct {
		Provider string `bun:"provider"`
		N        int    `bun:"n"`
	}
	err := q.NewRaw("SELECT s.provider, count(*) AS n FROM sessions s JOIN provider_pauses p ON "+paused+" WHERE s.status = 'queued' AND NOT s.at_gate GROUP BY s.provider").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("count sessions that wait for providers: %w", err)
	}
	waiting := make(map[string]int, len(rows))
	for _, r := range rows {
		waiting[r.Provider] = r.N
	}
	return waiting, nil
}
