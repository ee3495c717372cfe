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

// inspectMachine finds out how agents and scripts are isolated on this machine.
func inspectMachine(ctx context.Context, c *config, q *db.DB) db.Machine {
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

// logMachine logs the statements of package isolation about this machine, at the start of a process.
func logMachine(log *slog.Logger, m db.Machine) {
	for _, s := range isolation.Statements(m) {
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

// presence writes the heartbeat of a process that runs no agents, with the state of its machine.
type presence struct {
	db   *db.DB
	now  func() time.Time
	look func(ctx context.Context) db.Machine
	log  *slog.Logger
}

// run writes heartbeats until ctx ends, and inspects the machine each minute.
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
		err := errors.Join(db.SaveServer(ctx, p.db, &s), db.DeleteServers(ctx, p.db, s.SeenAt.Add(-workerDeleteAfter)))
		if err != nil && ctx.Err() == nil {
			p.log.Warn("save the state of this machine", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}
