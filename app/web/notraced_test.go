//go:build !race

package web_test

// raced says that the race detector is built in, which allocates and computes several times as much.
const raced = false
