// Carillon is a web application with which teams automate coding agents.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"carillon/app/agent"
)

func main() {
	agent.MaybeShim()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}
