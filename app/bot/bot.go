// Package bot holds the rules of bots: who may see and change them, and what is a mistake in one. It knows rows. It
// knows neither how runs start and end, nor agents as processes.
package bot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/db"
)

// Service carries out what people ask for. Its fields are set once, in main.
type Service struct {
	DB  bun.IDB          // a *db.DB, or the transaction of In
	Now func() time.Time // the instant of every rule

	// Provider finds a provider by its id.
	Provider func(id string) (p provider.Provider, known bool)
	// Changed is called in the transaction that changes a bot, with the automations that use it and whose sessions may
	// manage automations. What names the bot in a sentence.
	Changed func(ctx context.Context, tx bun.Tx, actor account.Actor, uses []db.Automation, what string) error
	// Lost is called in the transaction that removes a bot, with the automations that use it.
	Lost func(ctx context.Context, tx bun.Tx, uses []db.Automation, reason string) error
}

// In is the service bound to a transaction: its operations read and write there, and the transaction of each is a
// savepoint.
func (s *Service) In(tx bun.Tx) *Service {
	bound := *s
	bound.DB = tx
	return &bound
}

// Input is a bot as somebody wants it. Workspace is an id. An entry of AllowedTools may have several names, one a line
// or with commas between them. The keys of fault.Invalid are the names in forms.
type Input struct {
	spec.Bot
	Version int64 // of what the person started from
}

// Spec is what is said of a bot. The workspace is an id.
func Spec(b *db.Bot) spec.Bot {
	return spec.Bot{
		Name: b.Name, Workspace: form.ID(b.WorkspaceID), Enabled: b.Enabled, Instructions: b.Instructions,
		Provider: b.Provider, Model: b.Model, LocksAgent: b.LocksAgent,
		AllowedTools: append([]string{}, b.AllowedTools...), ReadOnly: b.ReadOnly,
	}
}

// Typed is a bot as it is, for somebody who changes it.
func Typed(b *db.Bot) Input { return Input{Bot: Spec(b), Version: b.Version} }

// MaxInstructions is the most bytes that the instructions of a bot may have.
const MaxInstructions = 64 << 10

const maxTools = 100

// List lists the bots that a person may use: those for all workspaces, and those of their own workspaces.
func (s *Service) List(ctx context.Context, actor account.Actor) ([]db.Bot, error) {
	return db.Bots(ctx, s.DB, actor.Access(), db.NamePage{})
}

// Page is a page of List.
func (s *Service) Page(ctx context.Context, actor account.Actor, page db.NamePage) ([]db.Bot, error) {
	return db.Bots(ctx, s.DB, actor.Access(), page)
}

// Find finds a bot that a person may use, and the automations with it that the person sees. Otherwise it returns
// fault.ErrNotFound.
func (s *Service) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Bot, []db.Automation, error) {
	b, err := Usable(ctx, s.DB, actor, id)
	if err != nil {
		return nil, nil, err
	}
	users, err := db.BotUsers(ctx, s.DB, actor.Access(), id, 100)
	return b, users, err
}

// Usable finds a bot that a person may use. Otherwise it returns fault.ErrNotFound.
func Usable(ctx context.Context, q bun.IDB, actor account.Actor, id uuid.UUID) (*db.Bot, error) {
	b, err := account.Found(db.BotByID(ctx, q, id))
	if err != nil {
		return nil, err
	}
	if b.WorkspaceID == uuid.Nil {
		return b, nil
	}
	return b, account.RequireMember(ctx, q, actor, b.WorkspaceID)
}

// Create makes a bot. It returns fault.Invalid with a sentence per field.
func (s *Service) Create(ctx context.Context, actor account.Actor, in Input) (*db.Bot, error) {
	var b *db.Bot
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		b, err = s.create(ctx, tx, actor, in)
		return err
	})
	return b, fault.Wrap(err, "create bot")
}

func (s *Service) create(ctx context.Context, tx bun.Tx, actor account.Actor, in Input) (*db.Bot, error) {
	if !actor.Can(account.ManageBots) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	b := &db.Bot{ID: db.NewID(), CreatedBy: actor.ID, ChangedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1}
	if err := s.apply(ctx, tx, actor, b, in); err != nil {
		return nil, err
	}
	if err := db.InsertBot(ctx, tx, b); err != nil {
		return nil, err
	}
	return b, s.audit(ctx, tx, actor, "bot.create", nil, b)
}

// Update changes a bot. Runs that have started keep what they started with. It returns fault.ErrStale when someone else
// saved it since the actor opened it, and the errors of Create.
func (s *Service) Update(ctx context.Context, actor account.Actor, id uuid.UUID, in Input) (*db.Bot, error) {
	if _, err := s.Editable(ctx, actor, id); err != nil {
		return nil, err
	}
	var b *db.Bot
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		b, err = s.update(ctx, tx, actor, id, in)
		return err
	})
	return b, fault.Wrap(err, "update bot %s", id)
}

func (s *Service) update(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID, in Input) (*db.Bot, error) {
	automating, err := db.LockAutomating(ctx, tx, "bot_id", id)
	if err != nil {
		return nil, err
	}
	b, err := account.Found(db.LockBot(ctx, tx, id))
	if err != nil {
		return nil, err
	}
	if actor, err = account.StillMay(ctx, tx, actor, account.ManageBots, b.WorkspaceID); err != nil {
		return nil, err
	}
	if b.Version != in.Version {
		return nil, fault.ErrStale
	}
	before := *b
	if err := s.apply(ctx, tx, actor, b, in); err != nil {
		return nil, err
	}
	if err := s.mayChange(ctx, tx, actor, b, b.WorkspaceID); err != nil {
		return nil, err
	}
	b.ChangedBy = actor.ID
	b.Version, b.UpdatedAt = b.Version+1, s.Now()
	if err := db.SaveBot(ctx, tx, b); err != nil {
		return nil, err
	}
	if err := s.Changed(ctx, tx, actor, automating, "the bot “"+b.Name+"”"); err != nil {
		return nil, err
	}
	return b, s.audit(ctx, tx, actor, "bot.update", &before, b)
}

// Preview is a bot as Update would make it of a row. It saves nothing, and does not ask whether the actor may change
// the bot. It returns the fault.Invalid of Create.
func (s *Service) Preview(ctx context.Context, actor account.Actor, row *db.Bot, in Input) (*db.Bot, error) {
	b := *row
	err := s.apply(ctx, s.DB, actor, &b, in)
	return &b, err
}

func (s *Service) mayChange(ctx context.Context, tx bun.Tx, actor account.Actor, b *db.Bot, now uuid.UUID) error {
	uses, err := db.BotUses(ctx, tx, b.ID, actor.ID)
	if err != nil {
		return err
	}
	return account.MayChangeShared(ctx, actor, uses, now, "bot")
}

// Editable finds a bot for its edit page, with the errors of every change.
func (s *Service) Editable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Bot, error) {
	b, err := Usable(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	if !actor.Can(account.ManageBots) {
		return nil, fault.ErrForbidden
	}
	return b, nil
}

// Remove deletes a bot. Specification: Recurring and Loop automations "are auto-disabled ... when the linked Bot or
// Workflow is removed", One-Time ones too, at once and with a notice; Manual and HTTP Trigger stay, and their runs fail
// saying so.
func (s *Service) Remove(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.Editable(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return s.remove(ctx, tx, actor, id) })
	return fault.Wrap(err, "remove bot %s", id)
}

func (s *Service) remove(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID) error {
	users, err := db.LockBotUsers(ctx, tx, id)
	if err != nil {
		return err
	}
	b, err := account.Found(db.LockBot(ctx, tx, id))
	if err != nil {
		return err
	}
	if actor, err = account.StillMay(ctx, tx, actor, account.ManageBots, b.WorkspaceID); err != nil {
		return err
	}
	if err := s.mayChange(ctx, tx, actor, b, uuid.Nil); err != nil {
		return err
	}
	if err := s.Lost(ctx, tx, users, fmt.Sprintf("its bot “%s” was removed by %s", b.Name, actor.Name)); err != nil {
		return err
	}
	if err := db.DeleteBot(ctx, tx, id); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "bot.delete", b, nil)
}

// apply puts what a person typed into a bot, or says what is wrong with it, all at once.
func (s *Service) apply(ctx context.Context, q bun.IDB, actor account.Actor, b *db.Bot, in Input) error {
	bad := fault.Invalid{}
	b.Name = form.Name(bad, "name", "Give the bot a name.", in.Name, 200)
	b.WorkspaceID = uuid.Nil
	if in.Workspace != "" {
		id, err := uuid.Parse(in.Workspace)
		if err != nil {
			err = fault.ErrNotFound
		} else {
			_, err = account.MemberWorkspace(ctx, q, actor, id)
		}
		switch {
		case errors.Is(err, fault.ErrNotFound):
			bad["workspace"] = "This workspace does not exist, or you are not a member of it."
		case err != nil:
			return err
		}
		b.WorkspaceID = id
	}
	b.Instructions = strings.ReplaceAll(in.Instructions, "\r\n", "\n")
	switch {
	case strings.TrimSpace(b.Instructions) == "":
		bad["instructions"] = "Write what the bot is to do and how."
	case len(b.Instructions) > MaxInstructions:
		bad["instructions"] = fmt.Sprintf("The instructions are %d KiB long. At most 64 KiB fit.",
			(len(b.Instructions)+1023)>>10)
	case !form.Storable(b.Instructions):
		bad["instructions"] = "The instructions have bytes that are not text."
	}
	b.Provider, b.Model = strings.TrimSpace(in.Provider), form.Line(bad, "model", "", in.Model, 200, false)
	b.LocksAgent, b.ReadOnly, b.Enabled = in.LocksAgent, in.ReadOnly, in.Enabled
	p, known := s.Provider(b.Provider)
	switch {
	case b.Provider == "" && b.LocksAgent:
		bad["provider"] = "Choose the provider that the bot is to be held to."
	case b.Provider != "" && !known:
		bad["provider"] = fmt.Sprintf("There is no provider %s here. Choose another.", b.Provider)
	case p.Script:
		bad["provider"] = fmt.Sprintf("%s runs scripts and takes no instructions. Choose an agent.", p.Name)
	}
	b.AllowedTools = []string{}
	seen := form.Seen{}
	for _, tool := range toolsTyped(in.AllowedTools) {
		if tool = strings.TrimSpace(tool); tool == "" || !seen.Add(tool) {
			continue
		}
		if len(tool) > 200 || !form.Storable(tool) || strings.ContainsFunc(tool, func(r rune) bool { return r < ' ' }) {
			bad["allowed_tools"] = "Write the names of tools, one a line."
		}
		b.AllowedTools = append(b.AllowedTools, tool)
	}
	if len(b.AllowedTools) > maxTools {
		bad["allowed_tools"] = fmt.Sprintf("At most %d tools can be named.", maxTools)
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// toolsTyped are the names of tools in texts, one a line or with commas between them.
func toolsTyped(texts []string) []string {
	return strings.FieldsFunc(strings.Join(texts, "\n"), func(r rune) bool { return strings.ContainsRune(",\r\n", r) })
}

// audit records a change of a bot. Before is nil for a new one, after for one that is gone.
func (s *Service) audit(ctx context.Context, q bun.IDB, actor account.Actor, action string, before,
	after *db.Bot) error {
	line := db.AuditEvent{ActorID: actor.ID, Action: action, SubjectKind: "bot"}
	for _, b := range []*db.Bot{before, after} {
		if b != nil {
			line.SubjectID, line.SubjectName, line.WorkspaceID = b.ID, b.Name, b.WorkspaceID
		}
	}
	if before != nil {
		line.Before = described(before)
	}
	if after != nil {
		line.After = described(after)
	}
	return account.Record(ctx, q, s.Now(), line)
}

// described is what the audit log keeps of a bot.
func described(b *db.Bot) map[string]any {
	is := Spec(b)
	m := spec.Values(&is)
	delete(m, "id")
	delete(m, "workspace")
	m["workspace_id"] = b.WorkspaceID.String()
	return m
}
