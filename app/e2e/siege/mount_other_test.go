//go:build !linux

package siege

import "errors"

func mount(string, int) error { return errors.New("there are none in memory on this system") }

func unmount(string) error { return nil }
