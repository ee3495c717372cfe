package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"carillon/app/agent"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// trialTimeout bounds the trial of a provider.
const trialTimeout = 3 * time.Minute

// What a trial runs: a prompt that needs the model and no tool for an agent, a command for the Shell provider.
const (
	trialPrompt = "This is a test of the connection. Answer with the single word: ready. Use no tools and change no " +
		"files."
	trialScript = "echo ready"
)

// claimTrial claims a trial of a provider that a person requested, and runs it in the background.
func (r *Runner) claimTrial(ctx, runCtx context.Context, runs *sync.WaitGroup) {
	if ctx.Err() != nil {
		return
	}
	trial, err := db.ClaimTrial(ctx, r.DB, r.Worker, r.Now())
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("claim trial of a provider", "err", err)
		}
		return
	}
	if trial == nil {
		return
	}
	runs.Go(func() {
		defer r.Wake() // there may be more
		r.runTrial(runCtx, trial)
		trial.FinishedAt = r.Now()
		limited, cancel := context.WithTimeout(context.WithoutCancel(runCtx), attemptTimeout)
		defer cancel()
		if err := db.FinishTrial(limited, r.DB, trial); err != nil {
			r.Log.Error("finish trial of a provider", "provider", trial.Provider, "err", err)
		}
	})
}

// runTrial runs one turn of a provider in a folder of its own, and writes the result into the trial.
func (r *Runner) runTrial(ctx context.Context, trial *db.ProviderTrial) {
	fail := func(class, reason string) { trial.ErrorClass, trial.Reason = class, truncate(reason) }
	p, ok := r.provider(trial.Provider)
	if !ok {
		fail(agent.FailStart, fmt.Sprintf("the provider %s is not available on this worker", trial.Provider))
		return
	}
	dir, err := os.MkdirTemp(mkdirAll(filepath.Join(r.Data, "runs")), "trial-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		fail(agent.FailStart, "the trial's folder could not be made: "+err.Error())
		return
	}
	defer func() {
		if err := git.RemoveAll(dir); err != nil {
			r.Log.Warn("remove the trial's folder", "dir", dir, "err", err)
		}
	}()
	turn := agent.Turn{
		Dir: filepath.Join(dir, "work"), RunDir: filepath.Join(dir, "run"), Prompt: trialPrompt, Timeout: trialTimeout,
		Limits: r.Limits,
	}
	if p.Driver == agent.DriverShell {
		turn.Prompt = trialScript
	}
	if err := errors.Join(os.Mkdir(turn.Dir, 0o700), os.Mkdir(turn.RunDir, 0o700), p.User.Pass(dir),
		p.User.Own(turn.Dir)); err != nil {
		fail(agent.FailStart, "the trial's folder could not be made: "+err.Error())
		return
	}
	result, err := agent.Run(ctx, p, turn, func(transcript.Event) {})
	trial.Answer = truncate(result.Text)
	if result.Usage.Known {
		trial.Usage, _ = json.Marshal(result.Usage)
	}
	var failure *agent.Failure
	if errors.As(err, &failure) {
		reason := failure.Reason
		if failure.Fix != "" {
			reason += ". " + failure.Fix
		}
		fail(failure.Kind, reason)
	}
}
