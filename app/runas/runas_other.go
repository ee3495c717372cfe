//go:build unix && !linux

package runas

import "errors"

func mayChange() error { return errors.New("this is possible on Linux alone") }

// Runs is always true: elsewhere than on Linux there is no other user.
func (u *User) Runs(string) bool { return true }

// Do calls a function: elsewhere than on Linux there is no other user.
func (u *User) Do(fn func() error) error { return fn() }

// Own does nothing: elsewhere than on Linux there is no other user.
func (u *User) Own(...string) error { return nil }

// OwnWithin does nothing: elsewhere than on Linux there is no other user.
func (u *User) OwnWithin(string, int) error { return nil }

// Apart is always false: only Linux can separate programs.
func Apart() bool { return false }

// Restrict does nothing: elsewhere than on Linux there is no other user.
func Restrict() {}

// Drop does nothing: elsewhere than on Linux there is no other user.
func Drop() {}
