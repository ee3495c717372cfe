package main

import (
	"net/url"
	"path/filepath"
	"slices"
)

// socketFolders are the folders of a database's Unix sockets, by its address.
func socketFolders(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var list []string
	for _, host := range append(u.Query()["host"], u.Hostname()) {
		if unescaped, err := url.PathUnescape(host); err == nil && filepath.IsAbs(unescaped) &&
			filepath.Clean(unescaped) != "/" {
			list = append(list, filepath.Clean(unescaped))
		}
	}
	return list
}

// hiddenPaths are what sandboxes hide of this machine beside homes and sockets of services: Carillon's data, the
// folders of the database's sockets, and what the settings name.
func hiddenPaths(c *config, address string) []string {
	return slices.Concat([]string{c.Data}, c.Hidden, socketFolders(address))
}
