package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"carillon/app/shell"
)

const maxTail = 64 << 10

// runShell runs the prompt as a bash script. The values of the parameters are in the environment, so that bash parses
// the script alone as code.
func (r *run) runShell(ctx context.Context) (Result, error) {
	compiled, uses, err := shell.Compile(r.Prompt)
	if err != nil {
		return Result{}, &Failure{Kind: FailStart, Reason: "the script: " + err.Error(), Cause: err}
	}
	script, err := r.write("script", []byte(compiled))
	if err != nil {
		return Result{}, err
	}
	params, err := r.params(uses)
	if err != nil {
		return Result{}, err
	}
	p, err := start(command{
		argv: append(slices.Clone(r.Command), "--noprofile", "--norc", "-e", "-u", "-o", "pipefail", script),
		dir:  r.Dir, env: append(r.env(), params...), grace: r.grace, user: r.User, sandbox: r.sandbox,
		bounds: r.bounds(),
		hold:   r.RunDir,
	})
	if err != nil {
		return Result{}, r.startFailure(err)
	}
	stop := context.AfterFunc(ctx, p.stop)
	defer stop()

	out, errs := &tail{limit: maxAnswer}, &tail{limit: maxTail}
	events := newPieces(r.emit)
	end := r.finish(p, func() {
		events.read("stdout", p.stdout, func(b []byte) { r.touch(); out.add(b) })
	}, func() {
		events.read("stderr", p.stderr, func(b []byte) { r.touch(); errs.add(b) })
	})
	events.end()

	res := Result{Text: out.String(), ExitCode: end.Exit, Stop: "exit"}
	switch {
	case end.Asked && ctx.Err() != nil:
		return res, r.stoppedFailure(ctx)
	case end.Start != "":
		return res, &Failure{Kind: FailStart, Reason: "cannot start bash: " + end.Start}
	case end.Signal != "":
		return res, &Failure{Kind: FailAgent, Reason: "ended by a signal: " + end.Signal}
	case end.Exit != 0:
		return res, &Failure{Kind: FailAgent, Reason: r.scriptFault(end.Exit, errs.String(), uses)}
	}
	return res, nil
}

// finish reads both outputs to their end and waits for the process.
func (r *run) finish(p *process, stdout, stderr func()) ending {
	drained := make(chan struct{})
	go func() {
		var wg sync.WaitGroup
		wg.Go(stdout)
		wg.Go(stderr)
		wg.Wait()
		close(drained)
	}()
	end := p.wait(drained)
	r.exceeded, r.diskFull = end.Over, end.DiskFull
	for _, pid := range end.Left {
		r.warn("Process %d could not be ended.", pid)
	}
	if end.LeftBehind > 0 {
		r.warn("Ended with the run, since they were still running in the background: %d processes (%s).",
			end.LeftBehind,
			strings.Join(end.Names, ", "))
	}
	return end
}

// params writes all values to PARAMS_FILE, and returns those that the script uses as variables.
func (r *run) params(uses []string) ([]string, error) {
	content, err := json.Marshal(r.Params)
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	if r.Params == nil {
		content = []byte("{}")
	}
	file, err := r.write("params.json", content)
	if err != nil {
		return nil, err
	}
	env := []string{"PARAMS_FILE=" + file}
	if name, size := shell.TooLong(uses, r.Params); name != "" {
		return nil, &Failure{Kind: FailStart,
			Reason: fmt.Sprintf("the value of %s is too long for a variable (%d bytes)",
				name, size),
			Fix: "Read it in the script from the JSON file $PARAMS_FILE."}
	}
	given := shell.Values(uses, r.Params)
	for _, variable := range slices.Sorted(maps.Keys(given)) {
		if strings.ContainsRune(given[variable], 0) {
			return nil, &Failure{
				Kind: FailStart, Reason: fmt.Sprintf("the value of %s holds a NUL byte, which no variable can",
					strings.TrimPrefix(variable, "PARAM_")),
			}
		}
		env = append(env, variable+"="+given[variable])
	}
	return env, nil
}

// scriptFault gives the reason of a script's failure in one line.
func (r *run) scriptFault(exit int, stderr string, uses []string) string {
	last := lastLine(stderr)
	supplied := map[string]bool{}
	for name := range r.Params {
		supplied[shell.Variable(name)] = true
	}
	for _, name := range uses {
		// bash names the variable in every language.
		if v := shell.Variable(name); !supplied[v] && strings.Contains(last, v+":") {
			return fmt.Sprintf("exit %d: the placeholder {{%s}} has no value", exit, name)
		}
	}
	last = strings.ReplaceAll(last, filepath.Join(r.RunDir, "script"), "script")
	if last == "" {
		return fmt.Sprintf("exit %d", exit)
	}
	return fmt.Sprintf("exit %d: %s", exit, last)
}
