package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// geminiRouter is the model name with which Gemini CLI chooses a model itself.
const geminiRouter = "auto"

func (a *acpAgent) chooseModel(opened acpSession) error {
	if opened.Models != nil && a.Model == "" {
		a.router = opened.Models.Current == geminiRouter
	}
	if a.Model == "" {
		return nil
	}
	a.router = a.Model == geminiRouter
	var err error
	switch option := opened.option("model"); {
	case option != nil:
		_, err = call[json.RawMessage](a, "session/set_config_option",
			object{"sessionId": a.sessionID(), "configId": option.ID, "value": a.Model})
	case opened.Models != nil:
		_, err = call[json.RawMessage](a, "session/set_model", object{"sessionId": a.sessionID(), "modelId": a.Model})
	default:
		a.warn("%s offers no choice of models: %s was not chosen.", a.Name, a.Model)
	}
	select {
	case <-a.conn.Done(): // the agent ended
		return err
	default:
	}
	var f *Failure
	// the other models are available
	if errors.As(err, &f) && (f.Kind == FailAgent || f.Kind == FailModel || f.Kind == FailAuth) {
		f.Kind, f.Reason = FailModel, fmt.Sprintf("%s refused the model %s: %s", a.Name, a.Model, f.Reason)
		f.Fix = "Choose another model, or none for the provider's default."
		if list := opened.models(); len(list) > 0 {
			f.Fix = "Choose another model, such as " + strings.Join(list[:min(len(list), 8)], ", ") +
				", or none for the provider's default."
		}
	}
	return err
}

func (a *acpAgent) chooseMode(opened acpSession) error {
	mode := a.AutoMode
	if a.ReadOnly {
		mode = a.ReadMode
	}
	if mode == "" {
		return nil
	}
	if opened.Modes != nil {
		for _, m := range opened.Modes.Available {
			if m.ID == mode {
				_, err := call[json.RawMessage](a, "session/set_mode",
					object{"sessionId": a.sessionID(), "modeId": mode})
				return err
			}
		}
	}
	if option := opened.option("mode"); option != nil && slices.Contains(option.values(), mode) {
		_, err := call[json.RawMessage](a, "session/set_config_option",
			object{"sessionId": a.sessionID(), "configId": option.ID, "value": mode})
		return err
	}
	if a.ReadOnly && a.Sandbox == nil && !a.Asks {
		return a.readOnlyFailure(fmt.Sprintf("%s does not offer the mode %s", a.Name, mode))
	}
	a.warn("%s does not offer the mode %s.", a.Name, mode)
	return nil
}

func (s acpSession) option(category string) *acpOption {
	for i := range s.Options {
		if s.Options[i].Category == category || s.Options[i].ID == category {
			return &s.Options[i]
		}
	}
	return nil
}

func (s acpSession) models() []string {
	if option := s.option("model"); option != nil {
		return option.values()
	}
	var list []string
	if s.Models != nil {
		for _, m := range s.Models.Available {
			list = append(list, m.ID)
		}
	}
	return list
}

// Models lists the models that a provider offers, without a call of any model. The acp driver asks the program, which
// takes seconds; other drivers return Provider.Models. The folder must exist; env is as in Turn.Env. The error is a
// *Failure.
func Models(ctx context.Context, p Provider, dir string, env []string) ([]string, error) {
	if p.Driver != DriverACP {
		return p.Models, nil
	}
	runDir, err := tempDir()
	if err != nil {
		return nil, &Failure{Kind: FailStart, Reason: err.Error(), Cause: err}
	}
	defer runDir.remove()
	if err := p.User.Own(dir); err != nil {
		return nil, &Failure{Kind: FailStart, Reason: err.Error(), Cause: err}
	}
	r := &run{
		Provider: p, Turn: Turn{Dir: dir, Env: env, RunDir: string(runDir), grace: time.Second, allVendors: true},
		touch: func() {},
	}
	if err := r.prepare(); err != nil {
		return nil, &Failure{Kind: FailStart, Reason: err.Error(), Cause: err}
	}
	a, err := r.startACP()
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, a.p.stop)()
	late := time.AfterFunc(acpStart, func() {
		a.timedOut.Store(true)
		a.p.stop()
	})
	defer late.Stop()
	var opened acpSession
	info, err := a.initialize()
	if err == nil {
		opened, err = a.open(ctx, info)
	}
	a.close(false)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, r.stoppedFailure(ctx)
	case err != nil:
		return nil, err
	}
	list := slices.DeleteFunc(opened.models(), func(m string) bool { return m == "" || len(m) > 200 || Clean(m) != m })
	if len(list) > 0 {
		return list, nil
	}
	return p.Models, nil
}
