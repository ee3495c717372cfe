package automation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/db"
)

// BotInput is a bot as somebody wants it. Workspace is an id. An entry of AllowedTools may have several names, one a
// line or with commas between them. The keys of fault.Invalid are the names in forms.
type BotInput struct {
	spec.Bot
	Version int64 // of what the person started from
}

// BotSpec is what is said of a bot. The workspace is an id.
func BotSpec(b *db.Bot) spec.Bot {
	return spec.Bot{
		Name: b.Name, Workspace: idTyped(b.WorkspaceID), Enabled: b.Enabled, Instructions: b.Instructions,
		Provider: b.Provider, Model: b.Model, LocksAgent: b.LocksAgent,
		AllowedTools: append([]string{}, b.AllowedTools...), ReadOnly: b.ReadOnly,
	}
}

// TypedBot is a bot as it is, for somebody who changes it.
func TypedBot(b *db.Bot) BotInput { return BotInput{Bot: BotSpec(b), Version: b.Version} }

// Bounds of a bot.
const (
	maxInstructions = 64 << 10 // bytes
	maxTools        = 100
)

// Bots lists the bots that a person may use: those for all workspaces, and those of their own workspaces.
func (s *Service) Bots(ctx context.Context, actor account.Actor) ([]db.Bot, error) {
	return db.Bots(ctx, s.DB, actor.Access(), db.NamePage{})
}

// BotPage is a page of Bots.
func (s *Service) BotPage(ctx context.Context, actor account.Actor, page db.NamePage) ([]db.Bot, error) {
	return db.Bots(ctx, s.DB, actor.Access(), page)
}

// Bot finds a bot that a person may use, and the automations with it that the person sees. Otherwise it returns
// fault.ErrNotFound.
func (s *Service) Bot(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Bot, []db.Automation, error) {
	b, err := s.bot(ctx, s.DB, actor, id)
	if err != nil {
		return nil, nil, err
	}
	users, err := db.BotUsers(ctx, s.DB, actor.Access(), id, 100)
	return b, users, err
}

func (s *Service) bot(ctx context.Context, q bun.IDB, actor account.Actor, id uuid.UUID) (*db.Bot, error) {
	b, err := account.Found(db.BotByID(ctx, q, id))
	if err != nil {
		return nil, err
	}
	if b.WorkspaceID == uuid.Nil {
		return b, nil
	}
	return b, account.RequireMember(ctx, q, actor, b.WorkspaceID)
}

// CreateBot makes a bot. It returns fault.Invalid with a sentence per field.
func (s *Service) CreateBot(ctx context.Context, actor account.Actor, in BotInput) (*db.Bot, error) {
	var b *db.Bot
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		b, err = s.createBot(ctx, tx, actor, in)
		return err
	})
	return b, fault.Wrap(err, "create bot")
}

// createBot is CreateBot within a transaction.
func (s *Service) createBot(ctx context.Context, tx bun.Tx, actor account.Actor, in BotInput) (*db.Bot, error) {
	if !actor.Can(account.ManageBots) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	b := &db.Bot{ID: db.NewID(), CreatedBy: actor.ID, ChangedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1}
	if err := s.applyBotInput(ctx, tx, actor, b, in); err != nil {
		return nil, err
	}
	if err := db.InsertBot(ctx, tx, b); err != nil {
		return nil, err
	}
	return b, s.auditBot(ctx, tx, actor, "bot.create", nil, b)
}

// UpdateBot changes a bot. Runs that have started keep what they started with. It returns fault.ErrStale when someone
// else saved it since the actor opened it, and the errors of CreateBot.
func (s *Service) UpdateBot(ctx context.Context, actor account.Actor, id uuid.UUID, in BotInput) (*db.Bot, error) {
	if _, err := s.manageableBot(ctx, actor, id); err != nil {
		return nil, err
	}
	var b *db.Bot
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		b, err = s.updateBot(ctx, tx, actor, id, in)
		return err
	})
	return b, fault.Wrap(err, "update bot %s", id)
}

// updateBot is UpdateBot within a transaction.
func (s *Service) updateBot(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID,
	in BotInput) (*db.Bot, error) {
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
	if err := s.applyBotInput(ctx, tx, actor, b, in); err != nil {
		return nil, err
	}
	if err := s.mayChangeBot(ctx, tx, actor, b, b.WorkspaceID); err != nil {
		return nil, err
	}
	b.ChangedBy = actor.ID
	b.Version, b.UpdatedAt = b.Version+1, s.Now()
	if err := db.SaveBot(ctx, tx, b); err != nil {
		return nil, err
	}
	if err := s.stopAutomating(ctx, tx, actor, automating, "the bot “"+b.Name+"”"); err != nil {
		return nil, err
	}
	return b, s.auditBot(ctx, tx, actor, "bot.update", &before, b)
}

func (s *Service) mayChangeBot(ctx context.Context, tx bun.Tx, actor account.Actor, b *db.Bot, now uuid.UUID) error {
	uses, err := db.BotUses(ctx, tx, b.ID, actor.ID)
	if err != nil {
		return err
	}
	return account.MayChangeShared(ctx, actor, uses, now, "bot")
}

// EditableBot finds a bot for its edit page, with the errors of every change.
func (s *Service) EditableBot(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Bot, error) {
	return s.manageableBot(ctx, actor, id)
}

func (s *Service) manageableBot(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Bot, error) {
	b, err := s.bot(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	if !actor.Can(account.ManageBots) {
		return nil, fault.ErrForbidden
	}
	return b, nil
}

// RemoveBot deletes a bot. Specification: Recurring and Loop automations "are auto-disabled ... when the linked Bot or
// Workflow is removed", One-Time ones too, at once and with a notice; Manual and HTTP Trigger stay, and their runs fail
// saying so.
func (s *Service) RemoveBot(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.manageableBot(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return s.removeBot(ctx, tx, actor, id) })
	return fault.Wrap(err, "remove bot %s", id)
}

// removeBot is RemoveBot within a transaction, of one that the actor may change.
func (s *Service) removeBot(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID) error {
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
	if err := s.mayChangeBot(ctx, tx, actor, b, uuid.Nil); err != nil {
		return err
	}
	if err := s.disableUsers(ctx, tx, users, fmt.Sprintf("its bot “%s” was removed by %s", b.Name,
		actor.Name)); err != nil {
		return err
	}
	if err := db.DeleteBot(ctx, tx, id); err != nil {
		return err
	}
	return s.auditBot(ctx, tx, actor, "bot.delete", b, nil)
}

// disableUsers switches off what a schedule starts of automations that lost what they run, and tells their creators.
func (s *Service) disableUsers(ctx context.Context, tx bun.Tx, users []db.Automation, reason string) error {
	for part := range slices.Chunk(users, atOnce) {
		var all, disabled []*db.Automation
		var lines []db.AuditEvent
		for i := range part {
			a := &part[i]
			all = append(all, a)
			if a.Scheduled() && a.Enabled {
				a.Enabled = false
				disabled, lines = append(disabled, a), append(lines, s.auditLine(uuid.Nil, "automation.disable", a,
					reason))
			}
		}
		if len(disabled) > 0 {
			if err := db.SwitchOff(ctx, tx, idsOf(disabled), db.ByRemoval, reason, s.Now()); err != nil {
				return err
			}
			if err := db.AddAudit(ctx, tx, lines...); err != nil {
				return err
			}
			err := s.tellEach(ctx, tx, disabled, func(a *db.Automation) notice { return disabledNotice(a, reason) })
			if err != nil {
				return err
			}
		}
		if err := s.announceChange(ctx, tx, idsOf(all)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) applyBotInput(ctx context.Context, q bun.IDB, actor account.Actor, b *db.Bot, in BotInput) error {
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
	case len(b.Instructions) > maxInstructions:
		bad["instructions"] = fmt.Sprintf("The instructions are %d KiB long. At most 64 KiB fit.",
			(len(b.Instructions)+1023)>>10)
	case !utf8.ValidString(b.Instructions) || strings.ContainsRune(b.Instructions, 0):
		bad["instructions"] = "The instructions have bytes that are not text."
	}
	b.Provider, b.Model = strings.TrimSpace(in.Provider), form.Line(bad, "model", "", in.Model, 200, false)
	b.LocksAgent, b.ReadOnly, b.Enabled = in.LocksAgent, in.ReadOnly, in.Enabled
	p, ok := s.provider(b.Provider)
	switch {
	case b.Provider == "" && b.LocksAgent:
		bad["provider"] = "Choose the provider that the bot is to be held to."
	case b.Provider != "" && !ok:
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
		if len(tool) > 200 || !storable(tool) || strings.ContainsFunc(tool, func(r rune) bool { return r < ' ' }) {
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

// auditBot records a change of a bot. Before is nil for a new one, after for one that is gone.
func (s *Service) auditBot(ctx context.Context, q bun.IDB, actor account.Actor, action string, before,
	after *db.Bot) error {
	e := db.AuditEvent{ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "bot"}
	for _, b := range []*db.Bot{before, after} {
		if b != nil {
			e.SubjectID, e.SubjectName, e.WorkspaceID = b.ID, b.Name, b.WorkspaceID
		}
	}
	if before != nil {
		e.Before = describedBot(before)
	}
	if after != nil {
		e.After = describedBot(after)
	}
	return db.AddAudit(ctx, q, e)
}

func describedBot(b *db.Bot) map[string]any {
	is := BotSpec(b)
	m := spec.Values(&is)
	delete(m, "id")
	delete(m, "workspace")
	m["workspace_id"] = b.WorkspaceID.String()
	return m
}

// applyBot takes over the bot of an automation, and with it the agent where that is not chosen or the bot decides.
func (s *Service) applyBot(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in *Input,
	bad fault.Invalid) error {
	a.BotID = uuid.Nil
	if db.SessionType(in.SessionType) != db.BotType {
		return nil
	}
	id, err := uuid.Parse(in.Bot)
	if err != nil {
		bad["bot"] = "Choose a bot."
		return nil
	}
	b, err := s.bot(ctx, q, actor, id)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && b.WorkspaceID != uuid.Nil && b.WorkspaceID != a.WorkspaceID:
		bad["bot"] = "This bot does not exist, or is not for this workspace. Choose another."
		return nil
	case err != nil:
		return err
	}
	a.BotID = id
	if b.LocksAgent {
		in.Provider, in.Model = b.Provider, b.Model
	}
	a.Provider = form.Or(form.Or(in.Provider, b.Provider), a.Provider)
	if p, ok := s.provider(a.Provider); ok && p.Script {
		bad["provider"] = fmt.Sprintf("%s runs scripts, and a bot is an agent. Choose another provider.", p.Name)
	}
	return nil
}

// agentOf is the provider and the model that a run of an automation is to have: its own, its bot's where that decides
// or where none is chosen, else its workspace's.
func agentOf(a *db.Startable) (provider, model string) {
	provider, model = a.Provider, a.Model
	if a.SessionType == db.BotType && a.BotID != uuid.Nil {
		switch {
		case a.BotLocks:
			return a.BotProvider, a.BotModel
		case provider == "":
			provider = a.BotProvider
		}
		if model == "" && provider == a.BotProvider {
			model = a.BotModel
		}
	}
	if provider == "" {
		provider = a.WorkspaceProvider
	}
	return provider, model
}
