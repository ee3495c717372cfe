//go:build unix && !linux

package runas

import "errors"

func mayChange() error { return errors.New("that can be had on Linux alone") }

// Runs reports that there is nobody whom it could be refused.
func (u *User) Runs(string) bool { return true }

// Do calls a function: elsewhere than on Linux there is no other user.
func (u *User) Do(fn func() error) error { return fn() }

// Own does nothing: elsewhere than on Linux there is no other user.
func (u *User) Own(...string) error { return nil }

// OwnWithin does nothing: elsewhere than on Linux there is no other user.
func (u *User) OwnWithin(string, int) error { return nil }

// Apart reports that nothing keeps programs apart: only Linux can.
func Apart() bool { return false }

// Restrict does nothing: elsewhere than on Linux there is no other user.
func Restrict() {}

// Drop does nothing: elsewhere than on Linux there is no other user.
func Drop() {}
