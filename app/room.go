package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"carillon/app/agent"
)

// tellRoom says at the start of a worker what keeps its agents and scripts from the rest of the machine, and what does not.
func tellRoom(ctx context.Context, log *slog.Logger) {
	if os.Geteuid() == 0 {
		log.Warn("Carillon runs as root. Agents and scripts of a workspace without a sandbox can do everything on this machine: " +
			"run Carillon as a user of its own")
	}
	if err := agent.SandboxAvailable(ctx); err != nil {
		log.Warn("no sandbox can be had here. Agents and scripts can do all that Carillon's own user can: read its data folder, its "+
			"keys and its database. Workspaces that want a sandbox fail", "cause", err)
		return
	}
	log.Info("sandboxes work here: agents and scripts of workspaces with one have no capabilities, and see no homes, sockets of "+
		"services and data of Carillon. In workspaces without one they can do all that Carillon's own user can", "holds", agent.SandboxHolds())
}

// socketFolders are the folders of a database's Unix sockets, by its address.
func socketFolders(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var list []string
	for _, host := range append(u.Query()["host"], u.Hostname()) {
		if unescaped, err := url.PathUnescape(host); err == nil && filepath.IsAbs(unescaped) && filepath.Clean(unescaped) != "/" {
			list = append(list, filepath.Clean(unescaped))
		}
	}
	return list
}
