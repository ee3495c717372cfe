package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/isolation"
	"carillon/app/runas"
	"carillon/db"
)

// lookAtMachine finds out what keeps agents and scripts from the rest of this machine.
func lookAtMachine(ctx context.Context, c *config, q *db.DB) db.Machine {
	m := db.Machine{
		Roles: c.Roles, Root: os.Geteuid() == 0, ConfinesNew: c.Sandbox, Shell: c.Shell,
		CountsLimits: runtime.GOOS == "linux",
		Processes:    c.Limits.Processes, Memory: c.Limits.Memory,
		Disk: c.Limits.Disk, MinFreeDisk: c.Limits.FreeDisk, LowDisk: agent.LacksDiskSpace(c.Data, c.Limits.FreeDisk),
		Hides: c.Hidden,
		Shows: c.Shown, OwnDatabase: c.DatabaseURL == "",
	}
	if c.has(roleWorker) || c.has(roleWeb) {
		box := agent.InspectSandbox(ctx, c.agents)
		m.Bubblewrap, m.Namespace = box.Version, db.NamespaceNone
		switch {
		case box.NoFurther:
			m.Namespace = db.NamespaceClosed
		case box.OwnUsers:
			m.Namespace = db.NamespaceOpen
		}
		if box.Problem != nil {
			m.NoSandbox, m.Namespace = box.Problem.Error(), ""
		}
		if box.Offline != nil {
			m.NoOffline = box.Offline.Error()
		}
	}
	if c.agents != nil {
		m.AgentUser, m.SeparatesRuns = c.agents.Name, runas.Apart()
		for _, path := range c.Shown {
			if _, err := os.Lstat(path); err == nil && !c.agents.Uses(path) {
				m.Unreachable = append(m.Unreachable, path)
			}
		}
	}
	var err error
	if m.Logs, err = db.LoggedValues(ctx, q); err != nil {
		m.LogsUnknown = true
	}
	return m
}

// tellMachine says at the start of a process what holds on its machine, and what does not, in the words of the page for
// administrators.
func tellMachine(log *slog.Logger, m db.Machine) {
	for _, s := range isolation.Of(m) {
		text := s.Name + ": " + s.Text
		if s.Do != "" {
			text += " " + s.Do
		}
		if s.Kind == isolation.Missing {
			log.Warn(text)
			continue
		}
		log.Info(text)
	}
}

// hostName is the name of this machine, for people.
func hostName(otherwise string) string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return otherwise
	}
	return name
}

// presence lets all know of a process that runs no agents, and what holds on its machine.
type presence struct {
	db   *db.DB
	now  func() time.Time
	look func(ctx context.Context) db.Machine
	log  *slog.Logger
}

// run tells until ctx is over. It looks again each minute.
func (p *presence) run(ctx context.Context) error {
	s := db.Server{ID: uuid.NewString(), Name: hostName("server")}
	beat := time.NewTicker(workerBeat)
	defer beat.Stop()
	var looked time.Time
	for {
		if looked.IsZero() || time.Since(looked) >= detectEvery {
			s.Machine, looked = p.look(ctx), time.Now()
		}
		s.SeenAt = p.now()
		err := errors.Join(db.SaveServer(ctx, p.db, &s), db.DeleteServers(ctx, p.db, s.SeenAt.Add(-workerForgotten)))
		if err != nil && ctx.Err() == nil {
			p.log.Warn("tell what holds on this machine", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}
