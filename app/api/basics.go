package api

import (
	"context"
	"net/http"

	"carillon/app/account"
	"carillon/app/provider"
)

// Me is who asks.
type Me struct {
	ID          string   `json:"id" format:"uuid"`
	Name        string   `json:"name"`
	Email       string   `json:"email"`
	TimeZone    string   `json:"time_zone" doc:"IANA name."`
	Permissions []string `json:"permissions" doc:"What this token may do now, with what is included."`
}

// Workspace is a workspace as a list has it.
type Workspace struct {
	ID            string `json:"id" format:"uuid"`
	Name          string `json:"name"`
	URL           string `json:"url" format:"uri" doc:"Its page."`
	DefaultBranch string `json:"default_branch"`
	Provider      string `json:"provider" doc:"Id of the default provider."`
	Model         string `json:"model"`
}

// Provider is a way to run a coding agent.
type Provider struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Script    bool     `json:"script" doc:"The prompt is a shell script. Using it needs the permission shell.use."`
	Enabled   bool     `json:"enabled" doc:"Whether automations may use it."`
	Installed *bool    `json:"installed,omitempty" doc:"Whether its program is found on this server; absent while that is not known yet."`
	Models    []string `json:"models" doc:"The models that are offered. Any other name may be given: the agent says at the run whether it has it."`
}

const basicsTag = "Basics"

// basics are the operations that a program begins with.
type basics struct{ *Server }

func (a basics) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/me", name: "getMe", tag: basicsTag, summary: "Who asks, and what they may do",
	}, a.me)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/providers", name: "listProviders", tag: basicsTag,
		summary: "List the providers with their models",
	}, a.listProviders)
}

func (a basics) me(_ context.Context, actor account.Actor, _ *struct{}) (Me, error) {
	me := Me{
		ID: actor.ID.String(), Name: actor.Name, Email: actor.Email, TimeZone: actor.TimeZone, Permissions: []string{},
	}
	for _, p := range account.Permissions {
		if actor.Can(p.Permission) {
			me.Permissions = append(me.Permissions, string(p.Permission))
		}
	}
	return me, nil
}

func (a basics) listProviders(context.Context, account.Actor, *struct{}) (PageOf[Provider], error) {
	list := a.Providers.List()
	return paginate(list, len(list), func(p *provider.Provider) Provider {
		item := Provider{
			ID: p.ID, Name: p.Name, Script: p.Script, Enabled: !p.Off, Models: append([]string{}, p.Models...),
		}
		if a.Found != nil {
			if found, known := a.Found(p.ID); known {
				there := found.Problem == ""
				item.Installed = &there
			}
		}
		return item
	}, nil), nil
}
