package workspace

import (
	"context"
	"fmt"

	"carillon/db"
)

// Environment is what a session of a workspace gets, opened.
type Environment struct {
	Variables []string // NAME=value
	Secrets   []string // the values to keep out of what is shown
	Token     string   // for Git over https
}

// Environment opens the variables and the token of a workspace for a run.
func (s *Service) Environment(ctx context.Context, w *db.Workspace) (Environment, error) {
	var e Environment
	if w.TokenSealed != nil {
		token, err := s.Keys.Open(w.TokenSealed, "token "+w.ID.String())
		if err != nil {
			return e, fmt.Errorf("open the access token of workspace %s: %w", w.Name, err)
		}
		e.Token, e.Secrets = token, append(e.Secrets, token)
	}
	list, err := db.VariablesOf(ctx, s.DB, w.ID)
	if err != nil {
		return e, err
	}
	for _, v := range list {
		value := v.Value
		if v.Secret {
			if value, err = s.Keys.Open(v.Sealed, "variable "+w.ID.String()+" "+v.Name); err != nil {
				return e, fmt.Errorf("open the variable %s of workspace %s: %w", v.Name, w.Name, err)
			}
			e.Secrets = append(e.Secrets, value)
		}
		e.Variables = append(e.Variables, v.Name+"="+value)
	}
	return e, nil
}
