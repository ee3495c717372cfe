package main

import (
	"net/url"
	"path/filepath"
	"slices"
)

// socketFolders are the folders of the Unix sockets in a database's address.
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

// hiddenPaths are the paths that sandboxes hide beside homes and sockets of services: Carillon's data, the folders of
// the database's sockets, and those of the settings.
func hiddenPaths(c *config, address string) []string {
	return slices.Concat([]string{c.Data}, c.Hidden, socketFolders(address))
}
